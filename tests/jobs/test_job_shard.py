"""Which part of the work a process of an array runs."""

import itertools

import pytest

from jaxslice.core.errors import UsageError
from jaxslice.jobs.job_shard import JobShard, job_shard

SLURM = {
    "SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "5",
    "SLURM_ARRAY_TASK_MAX": "8", "SLURM_ARRAY_TASK_STEP": "1",
}  # fmt: skip
AWS = {"AWS_BATCH_JOB_ARRAY_INDEX": "2", "AWS_BATCH_JOB_ARRAY_SIZE": "9"}
GOOGLE = {"BATCH_TASK_INDEX": "0", "BATCH_TASK_COUNT": "3"}
LSF = {"LSB_JOBINDEX": "10", "LSB_JOBINDEX_END": "10", "LSB_JOBINDEX_STEP": "1"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        (SLURM, JobShard(2, 4, "SLURM")),
        (SLURM | {"SLURM_ARRAY_TASK_MAX": "11", "SLURM_ARRAY_TASK_STEP": "2"},
         JobShard(1, 4, "SLURM")),
        ({"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "1", "SLURM_ARRAY_TASK_MIN": "1"},
         None),
        (AWS, JobShard(2, 9, "AWS Batch")),
        (GOOGLE, JobShard(0, 3, "Google Batch")),
        ({"BATCH_TASK_INDEX": "0", "BATCH_TASK_COUNT": "1"}, None),
        (LSF, JobShard(9, 10, "LSF")),
        ({"LSB_JOBINDEX": "0"}, None),
    ],
)  # fmt: skip
def test_the_array_says_index_and_count(environment, expected):
    assert job_shard(None, None, environment) == expected


@pytest.mark.parametrize("name", ["JOB_COMPLETION_INDEX", "PBS_ARRAY_INDEX"])
def test_where_the_array_does_not_say_how_many_the_flag_must(name):
    with pytest.raises(UsageError, match="--num_shards"):
        job_shard(None, None, {name: "3"})
    shard = job_shard(5, None, {name: "3"})
    assert shard
    assert (shard.index, shard.count) == (3, 5)
    with pytest.raises(UsageError, match="expected 0 to 4"):
        job_shard(5, None, {name: "5"})


def test_flags_go_before_the_array():
    assert job_shard(1, None, SLURM) is None
    assert job_shard(8, 3, SLURM) == JobShard(3, 8)
    assert job_shard(2, 1, {}) == JobShard(1, 2)


@pytest.mark.parametrize(
    ("flags", "environment", "message"),
    [
        ((None, 1), {}, "expected both"),
        ((4, None), {}, "expected both"),
        ((3, None), SLURM, "an array of 4 by SLURM"),
        ((None, None), SLURM | AWS, "SLURM and AWS Batch"),
        ((None, None), SLURM | {"SLURM_ARRAY_TASK_MAX": "20"}, "expected all between"),
        ((None, None), LSF | {"LSB_JOBINDEX_STEP": "2"}, "LSF array with steps"),
        ((4, 4), {}, "expected 0 to 3"),
    ],
)
def test_what_does_not_fit_together_is_refused(flags, environment, message):
    with pytest.raises(UsageError, match=message):
        job_shard(*flags, environment)


@pytest.mark.parametrize(("count", "objects"), [(1, 5), (3, 10), (7, 3), (4, 0)])
def test_parts_are_disjoint_and_cover_all(count, objects):
    parts = [JobShard(index, count).range_of(objects) for index in range(count)]
    assert list(itertools.chain(*parts)) == list(range(objects))
