"""What a run has to say when it is over: its Result, the third part."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import datetime, timezone

from clbench import metrics, store
from clbench.engine.assemble import Assembled
from clbench.engine.learnt import Column, column_of, imbalance
from clbench.engine.stages import Trained
from clbench.engine.stream import scenario_of
from clbench.engine.warned import Ending, warnings_of
from clbench.registry import role_of


def told(run: Assembled, trained: Trained, started: float) -> store.Result:
    """Return the Result of a trained run, whose listeners hear its metrics; ``started``: on ``time.perf_counter``."""
    config, watches, stream = run.config, run.watches, run.stream
    # A long stream makes a task each time that it is asked for one.
    known = [(task.source_classes, len(task.train), len(task.scored(config.evaluate)[1])) for task in stream.tasks]
    tested = [known[task][2] for task in stream.tested]
    found = {} if trained.reason else metric_values(trained.course(watches.answers, watches.within, tested))
    watches.reporter.run_finished({name: metric.value for name, metric in found.items()})
    columns = _columns(run)
    return store.Result(
        run_id=config.run_id,
        role=role_of(store.parts(config.strategy["name"])),
        status="ok" if trained.reason is None else "diverged",
        reason=trained.reason,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        seed=config.seed,
        config=config.model_dump(mode="json", exclude={"tuned"}),
        tuned=config.tuned,
        scenario=store.ScenarioInfo(
            version=scenario_of(config).version,
            stream=stream.digest,
            classes=[one[0] for one in known],
        ),
        data=store.DataInfo(
            name=run.data.name,
            fingerprint=run.data.fingerprint,
            official=run.data.official,
            train_samples=[one[1] for one in known],
            test_samples=tested,
            imbalance=imbalance(columns),
            columns=asdict(run.data.columns) if run.data.columns else None,
        ),
        model=run.model,
        accuracy=trained.rows,
        confusion=_of_bounded_size(trained),
        online_accuracy=trained.online(watches.answers),
        metrics=found,
        seconds=time.perf_counter() - started + trained.before,
        cost=trained.costs,
        diagnostics={"training_loss": watches.losses.losses} | watches.looked,
        warnings=warnings_of(config, trained, Ending(columns, run.learner.answers), run.plugins),
        code=config.code,
        environment={**run.environment} | ({"continued": trained.continued} if trained.continued else {}),
    )


def metric_values(course: metrics.Course) -> dict[str, store.MetricValue]:
    """Return every metric of a run with its version."""
    return {
        name: store.MetricValue(value=value, version=metrics.METRICS[name].version)
        for name, value in metrics.compute(course).items()
    }


def _columns(run: Assembled) -> list[Column]:
    """What is needed of each column of R to say whether its task was learnt."""
    stream = run.stream
    last = range(1) if stream.common_test else run.stages[-1]
    return [
        column_of(task, run.data, run.config.evaluate, place in last, stream.head_outputs[task.head])
        for place, task in ((place, stream.tasks[place]) for place in stream.tested)
    ]


def _of_bounded_size(trained: Trained) -> list[list[store.Cell]] | None:
    """The confusion matrices, if the Result's file has room for them."""
    found = None if trained.reason else trained.whole_confusion
    if found is None or sum(map(len, found)) > store.CONFUSION_CELLS:
        return None
    return [[*cells] for cells in found]
