"""What the caller asks of a run, before anything slow is loaded: the options of `train`, and which of them go together."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from effnet_lab.names import UserError, lookup

if TYPE_CHECKING:
    from effnet_lab.models.loaded import LoadedModel

Network: TypeAlias = Union[str, Path, "LoadedModel"]  # a Keras model has no preprocessing to train it with
NORMS = ("trained", "frozen")  # see `norms`
EPOCHS, SEED = 4, 0  # of training that starts from weights
STRATEGIES = {
    "one": "this process alone",
    "mirrored": "all GPUs of this machine",
    "multiworker": "one process per machine, named by TF_CONFIG",
    "tpu": "the TPU of this machine, or the one that TPU_NAME names",
}
_NOT_WITH_TOOLKIT = (  # of pruning and clustering, which are one stage in this process
    "freeze_epochs", "teacher", "patience", "average", "precision", "logs", "strategy",
)  # fmt: skip
RECIPE_NAMES = ("small", "original", "modern")  # see `recipes.NAMED`


@dataclass(frozen=True, kw_only=True, slots=True)
class How:
    """Options of a run; None leaves a number to the recipe. At most one of `qat`, `prune` and `cluster`."""

    recipe: str | None = None  # one of RECIPE_NAMES
    seed: int | None = None
    epochs: int | None = None
    batch: int | None = None
    learning_rate: float | None = None  # peak
    weight_decay: float | None = None
    label_smoothing: float | None = None
    average: float | None = None  # momentum of the moving average of the weights
    augment: str | Sequence[str] | None = None  # see `augment.parse_augment`
    views: int | None = None  # augmented views of each picture; they come again, and a teacher answers each once
    inherit: Network | None = None  # a larger network whose weights random ones are replaced by, see `inherit`
    teacher: Network | None = None  # a network to learn from
    temperature: float | None = None
    teacher_share: float | None = None  # of the loss
    patience: int | None = None  # epochs without a better validation after which to stop
    batch_norm: str | None = None  # one of NORMS
    new_head: bool = False  # fitted to the pooled features
    freeze_epochs: int | None = None  # of the classifier alone, first
    rate_decay: float | None = None  # each block learns at this times the rate of the one after it
    qat: bool = False
    qat_epochs: int | None = None  # with fake quantization, last
    qat_layers: str | Sequence[str] | None = None
    prune: float | None = None
    cluster: int | None = None
    precision: str | None = None
    xla: bool = False
    logs: Path | str | None = None
    strategy: str = "one"

    def chosen(self, *names: str) -> dict[str, Any]:
        """Those of these options that were given."""
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def chosen_networks(self) -> dict[str, str]:
        """Names of the networks that the run learns from."""
        return {name: network_name(network) for name, network in self.chosen("inherit", "teacher").items()}

    def written(self) -> dict[str, Any]:
        """What was asked for, as JSON has it; the teacher by name."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        given |= self.chosen_networks()
        given |= {"logs": None, "strategy": None if self.strategy == "one" else self.strategy}
        lists = {name: list(value) for name, value in given.items() if isinstance(value, tuple)}
        return {name: value for name, value in (given | lists).items() if value is not None and value is not False}

    @property
    def layers(self) -> tuple[str, ...] | None:
        """Layers and patterns to quantize."""
        given = self.qat_layers.split(",") if isinstance(self.qat_layers, str) else self.qat_layers
        return tuple(given or ()) or None

    def check(self, start: Network | None, out: Path | None, resume: bool) -> None:
        """Refuse what does not go together."""
        if out is not None and out.suffix != ".safetensors":
            raise UserError(f"--out must end in .safetensors. Got {str(out)!r}.")
        asked = [
            f"--{name}"
            for name, given in (
                ("qat", self.qat),
                ("prune", self.prune is not None),
                ("cluster", self.cluster is not None),
            )
            if given
        ]
        further = [
            *asked,
            *(["--batch-norm"] if self.batch_norm else []),
            *(["--freeze-epochs"] if self.freeze_epochs else []),
            *(["--new-head"] if self.new_head else []),
        ]
        if start is None and further:
            raise UserError(f"{further[0]} starts from weights. Name them with --from, for example --from micro1.")
        if start is not None and self.inherit is not None:
            raise UserError("--inherit and --from exclude each other. Leave one of them out.")
        if len(asked) > 1:
            raise UserError(f"{' and '.join(asked)} cannot be combined in one run. Run them one after the other.")
        self._refuse_what_is_left_undone(asked)
        if self.qat_layers and not (self.qat or self.qat_epochs):
            raise UserError("--qat-layers needs --qat or --qat-epochs.")
        if resume and (self.prune is not None or self.cluster is not None):
            raise UserError(f"{asked[0]} cannot be resumed. Leave out --resume: the run starts anew.")
        if resume and out is None:
            raise UserError("--resume needs the weights file of the interrupted run. Name it with --out.")
        for kind, value, known in (
            ("way with batch norm", self.batch_norm, NORMS),
            ("recipe", self.recipe, RECIPE_NAMES),
            ("strategy", self.strategy, STRATEGIES),
        ):
            if value is not None:
                lookup(kind, value, dict.fromkeys(known))

    def _refuse_what_is_left_undone(self, asked: list[str]) -> None:
        """What these ways of training do not do must not be asked of them."""
        if not asked:
            return
        undone = ("qat_epochs", *(() if self.qat else _NOT_WITH_TOOLKIT))
        names = [name for name in undone if getattr(self, name) not in (None, False, "one")]
        if names:
            first = f"--{names[0].replace('_', '-')}"
            raise UserError(
                f"{asked[0]} does not go with {first}. Leave it out, or do one after the other in two runs."
            )

    def command(self, network: dict[str, Any], data: str, out: Path | None) -> str:
        """The command that does the same."""
        given = self.written()
        given |= {name: ",".join(value) for name, value in given.items() if isinstance(value, list)}
        words = ["effnet-lab", "train"]
        flags = [f"--{name.replace('_', '-')}" for name in ("qat", "xla", "new_head") if given.pop(name, False)]
        for name, value in ({**network, "data": data} | given | {"out": out}).items():
            if value is not None:
                words += [f"--{name.replace('_', '-')}", shlex.quote(str(value))]
        return " ".join(words + flags)


def network_name(network: Any) -> str:
    """What a network is called in a command or a card."""
    return str(network) if isinstance(network, str | Path) else str(network.name)
