"""What a run is: configuration of networks, training and data. No torch here."""

from sagan.config.network import (
    RESOLUTIONS_PX,
    AttentionForm,
    Family,
    Init,
    Latent,
    NetworkConfig,
    Upsampling,
)
from sagan.config.run_config import (
    READING_RULES,
    AugmentKind,
    Crop,
    DataConfig,
    GrowthStage,
    InitConfig,
    Loss,
    Precision,
    RunConfig,
    Runtime,
    TrainingConfig,
)
from sagan.config.serialization import differences, run_config_from_dict, to_dict

__all__ = [
    "READING_RULES",
    "RESOLUTIONS_PX",
    "AttentionForm",
    "AugmentKind",
    "Crop",
    "DataConfig",
    "Family",
    "GrowthStage",
    "Init",
    "InitConfig",
    "Latent",
    "Loss",
    "NetworkConfig",
    "Precision",
    "RunConfig",
    "Runtime",
    "TrainingConfig",
    "Upsampling",
    "differences",
    "run_config_from_dict",
    "to_dict",
]
