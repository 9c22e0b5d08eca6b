"""Every attribute in which ModelPatcher clones of one model can differ, and how a run with several clones treats it.

Each attribute of ComfyUI's patchers (0.3.64 to 0.33) is in one of the lists below, with the reason.
"""

EXCHANGED = {
    "patches": "weights: LoRAs, merges; patched tensors take the place of the loaded clone's",
    "patches_uuid": "stands for patches and all that needs another loading",
    "weight_wrapper_patches": "functions of other packs that act while a layer casts its weight",
    "force_cast_weights": "a compute dtype is set: layers cast their weights and unpack quantized ones",
    "object_patches": "model_sampling, manual_cast_dtype, methods of layers",
    "injections": "what other packs put into the module, in pairs of inject and eject",
}
"""In the shared module while a clone is loaded: `WeightExchange` puts it there around each evaluation."""

OWN = {
    "model_options": "patches inside a forward, hooks on results, function wrappers; an argument of every evaluation",
    "wrappers": "an argument of every evaluation; those around a whole run: see `wrappers`",
    "callbacks": "called on the branch's own clone; on_load not where another clone is loaded, which the log says",
    "hook_patches": "weights of hooks, applied by the branch's own clone for its own conditions",
    "attachments": "data of other packs, read through the branch's own clone",
    "additional_models": "loaded with the run",
}
"""Never in the module: every branch has its own clone, and the module's ``current_patcher`` is that clone."""

PLACE = {
    "load_device": "a module lies on one device, all its clones are evaluated there (see `devices`)",
    "offload_device": "the same",
}
"""Decides on which device a model is evaluated, but nothing about its predictions."""

ENTRIES_OF_PLACE = ("multigpu", "multigpu_options")
"""The same in ``additional_models`` and ``model_options``: MultiGPU CFG Split's clones on further devices."""

OF_LOADING = {
    "size": "of the module in bytes",
    "model": "the shared module itself",
    "backup": "of the clone that is loaded; an exchanged clone has one of its own",
    "backup_buffers": "the same",
    "object_patches_backup": "the same",
    "pinned": "the same",
    "is_injected": "whether the injections are in the module now",
    "skip_injection": "True within a loading alone",
    "weight_inplace_update": "how patched weights are stored, which is not used for exchanged ones",
    "parent": "who owns the module after the clone is gone",
    "cached_patcher_init": "how to read the file again",
    "non_dynamic_delegate_model": "the same file, read again for a streaming patcher (see `delegates`)",
    "is_multigpu_base_clone": "flag of clones on further devices, which have modules of their own",
    "clone_base_uuid": "the same for all clones",
    "is_clip": "text encoders alone",
    "forced_hooks": "text encoders alone",
    "_last_prepare_log_key": "for the log",
    "_free_methods": "for the log",
    "_last_free_log_time": "for the log",
}
"""About loading; has no effect on predictions."""

OF_A_RUN = {
    "hook_patches_backup": "restored when a branch ends",
    "hook_backup": "our clones begin with none",
    "cached_hook_patches": "our clones begin with none",
    "current_hooks": "our clones begin with none; hooks of one clone go before another is evaluated",
    "hook_mode": "chosen for the run",
}
"""Set while sampling; a run copies none of it from a clone."""

PATCHER = {**EXCHANGED, **OWN, **PLACE, **OF_LOADING, **OF_A_RUN}
"""All attributes of a patcher."""

MODULE = {
    "current_patcher": "exchanged: the clone of the branch that is evaluated",
    "latent_shapes": "set for the run in every module (see `latent_shapes`)",
    "device": "where the module lies",
    "model_loaded_weight_memory": "size of what is loaded",
    "model_offload_buffer_memory": "size of what is loaded",
    "lowvram_patch_counter": "size of what is loaded",
    "model_lowvram": "whether part of it is offloaded, the same for all clones",
    "current_weight_patches_uuid": "of the clone that is loaded, which stays so",
    "dynamic_vbars": "memory of streamed weights; a clone with other weights has a module of its own",
    "dynamic_pins": "the same",
    "dynamic_patchers": "the same",
}
"""All attributes that patchers and guiders set on the module itself, apart from objects and weights."""

LAYER = {
    "weight_function": "exchanged with the weight",
    "bias_function": "exchanged with the bias",
    "comfy_cast_weights": "exchanged with force_cast_weights",
    "comfy_force_cast_weights": "exchanged with force_cast_weights",
    "prev_comfy_cast_weights": "what to restore when the loaded clone goes",
    "comfy_patched_weights": "whether the layer is loaded",
    "seed_key": "name of the layer",
    "weight_lowvram_function": "patches of a streamed weight; a clone with other weights has a module of its own",
    "bias_lowvram_function": "the same",
    "_v": "memory of a streamed weight",
    "_v_block": "the same",
    "_v_signature": "the same",
    "_v_weight": "the same",
    "_v_bias": "the same",
    "_pin_state": "the same",
    "_pins": "the same",
    "_pin": "the same",
    "_pin_registered": "the same",
    "_pin_balancer_entry": "the same",
}
"""All attributes that loading sets on the layers, apart from their weights."""

STATE_OF_WEIGHTS = tuple(name for name in EXCHANGED if name != "patches")  # patches_uuid represents it
STATE = (*STATE_OF_WEIGHTS, *OWN)
"""Every attribute that makes one clone of a model predict differently from another."""
