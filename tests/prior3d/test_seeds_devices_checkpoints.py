import subprocess
import sys

import pytest
import torch
from safetensors.torch import save

from prior3d import checkpoints
from prior3d.devices import choose_device
from prior3d.errors import Prior3dError
from prior3d.seeds import Seeds


def test_generators_are_named_independent_and_repeatable():
    first, again, other = Seeds(3), Seeds(3), Seeds(4)
    a = torch.rand(4, generator=first.generator("a"))
    torch.rand(7, generator=again.generator("b"))  # another consumer does not shift the first
    assert torch.equal(a, torch.rand(4, generator=again.generator("a")))
    assert not torch.equal(a, torch.rand(4, generator=first.generator("b")))
    assert not torch.equal(a, torch.rand(4, generator=other.generator("a")))


def test_the_same_generator_comes_back_and_goes_on():
    seeds = Seeds(0)
    assert seeds.generator("a") is seeds.generator("a")


def test_restored_generators_go_on_where_they_were():
    seeds = Seeds(0)
    torch.rand(5, generator=seeds.generator("a"))
    state = seeds.state()
    expected = torch.rand(5, generator=seeds.generator("a"))
    fresh = Seeds(0)
    fresh.restore(state)
    assert torch.equal(torch.rand(5, generator=fresh.generator("a")), expected)


def test_a_foreign_random_state_is_refused():
    with pytest.raises(Prior3dError, match="found key 'cameras'"):
        Seeds(0).restore({"cameras": torch.zeros(1)})


def test_checkpoint_round_trip_is_bit_exact(tmp_path):
    tensors = {"a": torch.randn(3, 4).T, "b": torch.arange(5), "state": Seeds(1).generator("x").get_state()}
    checkpoints.save(tmp_path / "c" / "x.safetensors", tensors, {"step": 7, "loss": 0.1})
    found, state = checkpoints.load(tmp_path / "c" / "x.safetensors")
    assert state == {"step": 7, "loss": 0.1}
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["x.safetensors"]


def test_no_checkpoint_is_none(tmp_path):
    assert checkpoints.load(tmp_path / "none") is None


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_truncated_checkpoint_is_refused(tmp_path, kept):
    path = tmp_path / "x"
    checkpoints.save(path, {"a": torch.zeros(100)}, {})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(Prior3dError, match="Delete it to begin this stage again"):
        checkpoints.load(path)


def test_a_foreign_safetensors_file_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "x")
    with pytest.raises(Prior3dError, match="checkpoint format None"):
        checkpoints.load(tmp_path / "x")


def test_a_failed_save_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "x"
    checkpoints.save(path, {"a": torch.zeros(1)}, {"step": 1})

    def full_disk(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("prior3d.files.os.fsync", full_disk)
    with pytest.raises(Prior3dError, match="No space left on device"):
        checkpoints.save(path, {"a": torch.ones(1)}, {"step": 2})
    monkeypatch.undo()
    assert checkpoints.load(path)[1] == {"step": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_cpu_is_always_there():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda", "mps")


def test_the_cpu_adds_in_one_order_and_the_compiler_is_not_imported_for_it():
    code = "import sys, torch; from prior3d.devices import choose_device; choose_device('cpu'); "
    code += "print(torch.are_deterministic_algorithms_enabled(), 'torch._inductor' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cpu:1", "", "CUDA"])
def test_a_word_that_is_no_device_is_refused(name):
    with pytest.raises(Prior3dError, match="is not a device"):
        choose_device(name)


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(Prior3dError, match="0 CUDA devices are here"):
        choose_device("cuda")
    with pytest.raises(Prior3dError, match="no Metal device"):
        choose_device("mps")


def test_a_cuda_index_too_high_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(Prior3dError, match="'cuda:1' asked for, but 1 CUDA"):
        choose_device("cuda:1")


def test_every_flipped_byte_of_a_checkpoint_is_found(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    checkpoints.save(path, {"a": torch.arange(4.0), "b": torch.ones(2, dtype=torch.int8)}, {"step": 3})
    whole = path.read_bytes()
    assert checkpoints.load(path)[1] == {"step": 3}
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
        with pytest.raises(Prior3dError, match="Delete it to begin this stage again"):
            checkpoints.load(path)


def test_a_checkpoint_from_before_digests_is_read(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    content = save({"a": torch.ones(3)}, metadata={"format": "prior3d-checkpoint-1", "state": '{"step": 3}'})
    path.write_bytes(content)
    tensors, state = checkpoints.load(path)
    assert state == {"step": 3} and torch.equal(tensors["a"], torch.ones(3))


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_two_threads_give_the_same_gradient_each_time(two_threads):
    """Rows that are looked up many times: their gradients are sums, whose order must not depend on the threads."""
    choose_device("cpu")
    generator = torch.Generator().manual_seed(0)
    table, rows = torch.randn(4000, 8, generator=generator), torch.randint(0, 4000, (200_000,), generator=generator)
    weights, found = torch.randn(200_000, 8, generator=generator), []
    for _ in range(12):
        given = table.clone().requires_grad_()
        (given[rows] * weights).sum().backward()
        found.append(given.grad)
    assert all(torch.equal(gradient, found[0]) for gradient in found)
