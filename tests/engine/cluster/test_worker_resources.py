"""How large workers are, and how many have room."""

import pytest

from ppcli.engine.cluster.worker_resources import MachineSize, WorkerSize


@pytest.mark.parametrize(
    ("machines", "cores", "workers"),
    [
        ([(1, 0)], 1, 1),
        ([(2, 0), (2, 0), (2, 0)], 2, 3),
        ([(8, 0)], 8, 1),
        ([(12, 0)], 6, 2),
        ([(96, 0)], 8, 12),
        ([(0, 0), (16, 0), (16, 0), (4, 0)], 8, 4),  # a head without cores, and a small machine
        ([], 4, 0),
        ([(0, 0)], 4, 0),
    ],
)
def test_workers_divide_the_most_common_machine(
    machines: list[tuple[int, int]], cores: int, workers: int
) -> None:
    sizes = [MachineSize(*one) for one in machines]
    chosen = WorkerSize.chosen(sizes, None, 0)
    assert (chosen.cores, chosen.room_on(sizes)) == (cores, workers)


def test_a_chosen_number_of_cores_is_taken() -> None:
    sizes = [MachineSize(8), MachineSize(2)]
    assert WorkerSize.chosen(sizes, 3, 0).room_on(sizes) == 2
    assert WorkerSize.chosen(sizes, 0, 0) == WorkerSize(1)  # a worker without processes of its own


def test_a_worker_is_no_larger_than_a_machine_to_which_no_other_comes() -> None:
    alone = [MachineSize(2)]
    assert WorkerSize.chosen(alone, 8, 0) == WorkerSize(8)
    assert WorkerSize.chosen(alone, 8, 0, others_may_come=False) == WorkerSize(2)
    assert WorkerSize.chosen(alone, 1, 0, others_may_come=False) == WorkerSize(1)


def test_each_gpu_has_a_worker() -> None:
    sizes = [MachineSize(64), MachineSize(32, 4), MachineSize(32, 4), MachineSize(8, 8)]
    chosen = WorkerSize.chosen(sizes, None, 1)
    assert chosen == WorkerSize(8, 1)
    assert chosen.room_on(sizes) == 4 + 4 + 1
