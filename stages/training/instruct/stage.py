"""The body of training.instruct; the package says what it takes, gives and is set by."""

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from prior3d.devices import choose_device
from prior3d.diffusion.instruct import InstructPrior
from prior3d.toyworld.edits import INSTRUCTION_WORDS
from prior3d.toyworld.palette import BACKGROUNDS
from stages.artifacts.datasets import EditDataset
from stages.contract.job import Job
from stages.training.conditional import copy_parts, frozen_prior, open_text_encoder, open_unet, save, train
from stages.training.datasets.latents import Latents
from stages.training.datasets.texts import InstructionDataset
from stages.training.datasets.tokenizer import with_words
from stages.training.diffusion_loss import v_loss
from stages.training.instruct import FOLDER, Params
from stages.training.scores.instruct import sample_sheet
from stages.training.trainer import Trainer, lower_precision, prepare
from stages.training.weights import samples_before

N_CHANNELS = 8  # noisy latents, latents of the image to edit


def run(job: Job, params: Params) -> None:
    """Train and save."""
    device = str(choose_device(params.device))
    folder, toy = job.run_folder / FOLDER, job.inputs["text_to_image"]
    prepare(params.seed, params.threads)
    begin, before = folder if params.warm_start else toy, samples_before(folder, params.warm_start)
    tokenizer = with_words(CLIPTokenizer.from_pretrained(begin / "tokenizer"), list(INSTRUCTION_WORDS))
    text_encoder = open_text_encoder(begin / "text_encoder", len(tokenizer)).to(device)
    unet = open_unet(begin / "unet", N_CHANNELS).to(device)
    trainer = Trainer(job, {"unet": unet, "text_encoder": text_encoder}, params, samples_before=before)
    copy_parts(toy, folder, ("vae", "scheduler"), trainer.path)
    averaged = trainer.averaged("unet"), trainer.averaged("text_encoder")
    prior = InstructPrior(frozen_prior(folder, *averaged, tokenizer, device))
    edits, held_out = (EditDataset(job.inputs["edits"], split) for split in ("train", "held-out"))
    latents = Latents(prior.diffusion.vae, torch.from_numpy(edits.rgba).to(device))
    instructions, schedule = InstructionDataset(edits, tokenizer, device), prior.schedule

    def loss_of(generator: torch.Generator) -> Tensor:
        batch, tokens, camera, image = draw_batch(latents, instructions, params, generator)
        with lower_precision(device, params.precision):
            conditioning = text_encoder(tokens).last_hidden_state, camera
            power = params.timestep_power
            return v_loss(unet, conditioning, batch, schedule, generator, condition=image, timestep_power=power)

    def grid() -> Tensor:
        prior.diffusion.prompts.forget()  # their embeddings change while the text encoder learns
        return sample_sheet(prior, held_out)

    train(trainer, params.batch, loss_of, grid)
    save(trainer, toy, folder, "StableDiffusionInstructPix2PixPipeline", params)
    tokenizer.save_pretrained(folder / "tokenizer")


def draw_batch(
    latents: Latents, instructions: InstructionDataset, params: Params, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A training batch.

    Returns:
        (latents after [n, 4, 16, 16], instructions as tokens [n, model_max_length], cameras [n, CAMERA_DIM],
        latents before).
    """
    device, n = generator.device, params.batch
    pair = torch.randint(len(instructions.rows), (n,), generator=generator, device=device)
    background = torch.randint(len(BACKGROUNDS), (n,), generator=generator, device=device)
    drawn, camera_drawn = torch.rand(2, n, generator=generator, device=device)
    with_text = drawn >= params.drop_instruction + params.drop_both
    without_image = (drawn >= params.drop_instruction) & (
        drawn < params.drop_instruction + params.drop_both + params.drop_image
    )
    camera = instructions.cameras[pair] * (camera_drawn >= params.drop_camera)[:, None]
    condition = latents[2 * pair, background] * ~without_image[:, None, None, None]
    tokens = instructions.tokens[instructions.rows[pair] * with_text]
    return latents[2 * pair + 1, background], tokens, camera, condition
