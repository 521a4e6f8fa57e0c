"""docs/reliability.md, from what measure.py found."""

from keras_cascade.report.summary import markdown_lines

_PAGE = """# Reliability

What became of runs that were killed, of inputs that were wrong, and how far replicas and backends
are from one device on TensorFlow. Written by `make chaos` (seed {seed}, {minutes} minutes); do not
edit by hand. All figures: [{json}]({json}).

## Killed runs

A cascade of a small network with dropout, 3 epochs of 4 steps, takes a state after every step. A
process of it gets SIGKILL at a random point, and is started again, until it ends. It ends well if
all weights, masks, saliencies, optimizer variables and states of random numbers have the same bits
as those of a run that nobody killed.

**{survived} of {kills} kills survived**, in {runs} runs.

{points}

After {damaged} of the kills the newest state was cut in two, as by a lost sector: the one before it
was taken.

A disk that is full (files may not grow beyond 4 kB): states lost that were there before: {lost}.
Given room, the run {full}. It said:

> {message}

## Wrong inputs

**{good} of {tried} got the answer they should.**

{answers}

## Replicas and backends

One training of {steps} steps (SGD, no dropout, synchronised BatchNormalization, an uneven last
batch), with mask updates, on each; the largest difference from one device on TensorFlow, relative
to the largest magnitude of what is compared (of the logs all but the divergences, which begin at
0). {left_out}

{differences}
"""


def page(results, json_name):
    """The page as Markdown.

    Args:
        results: what `measure.py` writes as JSON.
        json_name: the name of that file.
    """
    killed, full, answers = results["killed"], results["full_disk"], results["bad_inputs"]
    differences = results["differences"]
    points = [[point, str(count)] for point, count in sorted(killed["points"].items())]
    return _PAGE.format(
        **{key: killed[key] for key in ("kills", "survived", "runs", "damaged")},
        seed=results["seed"],
        minutes=results["minutes"],
        json=json_name,
        points=markdown_lines(["killed", "times"], points),
        lost=len(full["lost"]),
        full="ended with the same bits" if full["same"] else "did NOT end with the same bits",
        message=full["message"],
        good=sum(answer["good"] for answer in answers),
        tried=len(answers),
        answers=markdown_lines(
            ["given", "answer"],
            [
                [answer["title"], ("" if answer["good"] else "**BAD** ") + _cell(answer["answer"])]
                for answer in answers
            ],
        ),
        steps=differences["steps"],
        left_out=differences["left_out"],
        differences=markdown_lines(
            ["", *differences["compared"]],
            [
                [name, *(_shown(row[key]) for key in differences["compared"])]
                for name, row in differences["rows"].items()
            ],
        ),
    )


def problems(results):
    """What went wrong, in words; an empty list if nothing did."""
    killed, full = results["killed"], results["full_disk"]
    found = [f"no right answer to {a['title']}" for a in results["bad_inputs"] if not a["good"]]
    if killed["survived"] < killed["kills"]:
        found.append(f"{killed['kills'] - killed['survived']} kills not survived")
    if full["lost"] or not full["same"]:
        found.append("a full disk lost something")
    for name, row in results["differences"]["rows"].items():
        found += [
            f"{name} differs in {key} by {value:.1e}"
            for key, value in row.items()
            if value > (0 if key == "masks" else 1e-4)
        ]
    return found


def _shown(value):
    return "0" if value == 0 else f"{value:.1e}"


def _cell(text):
    return text.replace("|", "\\|")
