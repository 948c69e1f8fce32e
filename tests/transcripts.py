"""What other programs print: TensorFlow Lite's `benchmark_model`."""

# Recorded by the reporter of github.com/tensorflow/tensorflow/issues/73862, shortened to what carries numbers.
ISSUE_73862 = """\
INFO: STARTING!
INFO: Graph: [mobilenet_v1_1.0_224.tflite]
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
INFO: The input model file size (MB): 16.9008
INFO: Initialized session in 12.75ms.
INFO: count=37 first=14744 curr=15520 min=13164 max=18295 avg=13764.3 std=967

INFO: count=74 first=14850 curr=13315 min=13105 max=15765 avg=13520.2 std=470

INFO: Inference timings in us: Init: 12750, First inference: 14744, Warmup (avg): 13764.3, Inference (avg): 13520.2
"""

# The same format, for a fake device that fills in times.

BENCHMARK_MODEL = """\
INFO: STARTING!
INFO: Log parameter values verbosely: [0]
INFO: Min num runs: [50]
INFO: Num threads: [4]
INFO: Graph: [/data/local/tmp/effnet-lab-0.tflite]
INFO: Signature to run: []
INFO: #threads used for CPU inference: [4]
INFO: Use xnnpack: [1]
INFO: Loaded model /data/local/tmp/effnet-lab-0.tflite
INFO: Initialized TensorFlow Lite runtime.
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
INFO: XNNPACK delegate created.
INFO: Explicitly applied XNNPACK delegate, and the model graph will be completely executed by the delegate.
INFO: The input model file size (MB): 5.23961
INFO: Initialized session in 21.447ms.
INFO: Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
INFO: count=66 first=14101 curr=7012 min=6893 max=14101 avg=7402.35 std=871 p5=6921 median=7263 p95=8020

INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
INFO: count=143 first=7034 curr=6988 min=6871 max=8410 avg={avg} std=121{percentiles}

INFO: Inference timings in us: Init: 21447, First inference: 14101, Warmup (avg): 7402.35, Inference (avg): {avg}
INFO: Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual memory \
footprint of the model at runtime. Take the information at your discretion.
INFO: Memory footprint delta from the start of the tool (MB): init=9.2 overall=13.4
"""
