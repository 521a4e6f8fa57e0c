"""experiments/page.py says what the rows say, and keeps published figures apart."""

import importlib
import json
import pathlib
import re
import types

import pytest
import study_rows

from keras_cascade.study import COMMON, Experiment

EXPERIMENTS = pathlib.Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="module")
def page():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXPERIMENTS)
        return importlib.import_module("page")


@pytest.fixture(autouse=True)
def _flags(page, monkeypatch):
    monkeypatch.setattr(page, "FLAGS", types.SimpleNamespace(references=["frozen_2", "frozen_0"]))


def joint(seed, flips):
    kl = {"kl": 0.1 + seed / 10, "flips": flips}
    return {
        "stage": "cascade",
        "epoch": 0,
        "levels": {
            "teacher": {"gradient_share": 0.75},
            "student": {"gradient_share": 0.25, "saliency_correlation": 0.5, **kl},
        },
    }


def rows(preset):
    made = []
    for seed in (0, 1):
        common = {
            "model": "vgg16", "seed": seed, "device": "CPU", "wall_seconds": 1800.0,
            "settings": dict.fromkeys(
                ("max_train_examples", "image_size", "batch_size", "teacher_epochs", "epochs",
                 "recover_epochs", "learning_rate", "prune_learning_rate"), 1) | {"budget": "macs"},
            "versions": {"backend": "jax"},
        }  # fmt: skip
        made.append(study_rows.row("teacher", 0.0, accuracy=0.9, **common))
        made.append(study_rows.row("l1", 0.75, accuracy=0.8 + seed / 50, **common))
        levels = {
            "teacher": {"accuracy": 0.88, "params": 10, "macs": 10},
            "student": {"accuracy": 0.8, "params": 10, "macs": 10},
        }
        cascade = study_rows.row("frozen_2", 0.75, accuracy=0.85 + seed / 100, **common)
        made.append(
            cascade
            | {"levels": levels, "epochs": [joint(seed, 40), joint(seed, 20), joint(seed, 0)]}
        )
    return made


def cells(text, first):
    """The cells of the table line that begins with a name, of every table that has one."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    return [[cell.strip() for cell in line.split("|")[2:-1]] for line in lines]


def section(page, tmp_path, preset):
    experiment = Experiment.read(EXPERIMENTS / "vgg16_cifar10.toml", preset)
    return page.Section(experiment, rows(preset), tmp_path).text()


def test_means_differences_and_insides(page, tmp_path):
    text = section(page, tmp_path, "cpu")
    assert "6 of its 90 trainings, seeds 0, 1, 3.0 hours (beside other work) on CPU (jax)" in text
    accuracies, differences = cells(text, "one-shot L1, fine-tuned")
    assert accuracies == ["81.00 ± 1.41 (2)", "25.0 / 50.0"]
    assert differences == ["+4.50 ± 0.71"]  # 85 - 80 and 86 - 82
    ((teacher, *_), (below,)) = cells(text, "dense teacher")
    assert teacher == "90.00 ± 0.00 (2)" and below == "-4.50 ± 0.71"
    inside = cells(text, "cascade, 2 assistants")[-1]
    figures = ["88.00 / 80.00", "- / 0.150", "- / 30", "0.75 / 0.25", "- / 0.50", "+5.50", "-"]
    assert inside == ["75%", *figures]
    assert (tmp_path / "vgg16_cifar10_cpu_cifar10_vgg16.png").stat().st_size > 10_000


def test_time_is_told_over_that_of_iterative_taylor_of_the_same_seed(page, tmp_path):
    experiment = Experiment.read(EXPERIMENTS / "vgg16_cifar10.toml", "cpu")
    cascades = [row | {"seconds": 60.0} for row in rows("cpu") if "levels" in row]
    taylor = [
        row | {"method": "iterative_taylor", "seconds": 60.0 - 20.0 * row["seed"]}
        for row in cascades
    ]
    text = page.Section(experiment, [*taylor, *cascades], tmp_path).text()
    times = [
        cells(text, experiment.label(method))[-1][-1] for method in ("iterative_taylor", "frozen_2")
    ]
    assert times == ["1.0 ± 0.0", "1.2 ± 0.4"]  # 60 / 60 and 60 / 40


def test_others_are_compared_with_each_cascade_of_several_seeds_or_one(page, tmp_path):
    experiment = Experiment.read(EXPERIMENTS / "vgg16_cifar10.toml", "cpu")
    both = rows("cpu")
    both += [{**row, "method": "frozen_0", "accuracy": 0.9} for row in both if "levels" in row]
    first = [row for row in both if row["seed"] == 0]
    one_of_2 = [row for row in both if row["method"] != "frozen_2" or row["seed"] == 0]
    for given, references in (
        (both, ["2 assistants", "no assistant"]),
        (first, ["2 assistants"]),
        (one_of_2, ["no assistant"]),
    ):
        text = page.Section(experiment, given, tmp_path).text()
        found = re.findall("cascade, (.*) less [.]{3} ", text)
        assert found == references


def test_claims_are_told_of_each_cascade_beside_every_baseline(page, tmp_path):
    experiment = Experiment.read(EXPERIMENTS / "vgg16_cifar10.toml", "cpu")
    teachers_l1_cascades = rows("cpu")  # 90 and 90, 80 and 82, 85 and 86
    taylor = [
        row | {"method": "iterative_taylor", "accuracy": 0.84 + 0.03 * row["seed"]}
        for row in teachers_l1_cascades
        if "levels" in row
    ]

    def claim(given):
        made = page.Section(experiment, given, tmp_path)
        return cells(page.page_claims.claims([made], ["frozen_2", "frozen_0"]), experiment.title)

    both = [*teachers_l1_cascades, *taylor]
    line = ["cpu", "vgg16, cifar10", "75%", "2 assistants", "2"]
    margins = ["-4.50 ± 0.71", "+4.50 ± 0.71", "+0.00 ± 1.41"]
    assert claim(both) == [[*line, *margins, "not above iterative Taylor, no distillation (2 run)"]]
    lower = [row | {"accuracy": row["accuracy"] - 0.02} for row in taylor]
    ((*_, above_taylor, verdict),) = claim([*teachers_l1_cascades, *lower])
    assert (above_taylor, verdict) == ("+2.00 ± 1.41", "yes (2 run)")
    ((*_, verdict),) = claim([row for row in both if row["seed"] == 0])
    assert verdict == "one seed"
    assert claim(teachers_l1_cascades) == []


def test_the_overview_has_each_method_after_short_and_long_training(page, tmp_path):
    given = [row | {"model": "vgg16@0.25"} for row in rows("all_images")]
    longer = [row | {"accuracy": 0.99} for row in given if row["method"] == "frozen_2"]
    scratch = longer[0] | {"method": "from_scratch", "accuracy": 0.5}
    sections = [
        page.Section(Experiment.read(EXPERIMENTS / f"{name}.toml", preset), found, tmp_path)
        for name, preset, found in (
            ("vgg16_cifar10", "all_images", given),
            ("longer_training", "all_images", [scratch, *longer]),
            ("recovery", "all_images", given),
            ("recovery", "cpu", longer),
        )
    ]
    text = page.page_overview.overview(sections)
    head, _, *lines = text.splitlines()
    assert head.count("vgg16@0.25, 1 + 2 epochs") == 2 and head.startswith("| 75% of the MACs gone")
    firsts = [line.split("|")[1].strip() for line in lines]
    scratch_label = sections[0].experiment.label("from_scratch")
    names = ["dense teacher", "cascade, 2 assistants", "one-shot L1, fine-tuned", scratch_label]
    assert firsts == names  # the most accurate first, and those of the second column alone last
    accuracies = [cells(text, name)[0] for name in names]
    assert accuracies[1] == ["85.50 ± 0.71 (2)", "99.00 ± 0.00 (2)"]
    assert accuracies[2:] == [["81.00 ± 1.41 (2)", "-"], ["-", "50.00 (1)"]]
    assert page.page_overview.overview(sections[:1]) == ""


def test_pairs_are_told_seed_by_seed_within_an_experiment_and_across_two(page, tmp_path):
    def section(name, preset, found):
        experiment = Experiment.read(EXPERIMENTS / f"{name}.toml", preset)
        return page.Section(experiment, found, tmp_path)

    given = rows("all_images")  # of seeds 0 and 1: L1 80 and 82, the cascade 85 and 86
    higher = [row | {"accuracy": row["accuracy"] + 0.01} for row in given if row["seed"]]
    other_network = [row | {"model": "vgg19"} for row in given]
    sections = [
        section("recovery", "all_images", [*given, *other_network[:-1]]),
        section("recovery", "cpu", higher),
        section("longer_training", "all_images", higher),
    ]
    chosen = [
        page.page_pairs.Pair("recovery", "frozen_2", "l1"),
        page.page_pairs.Pair("longer_training", "frozen_2", "frozen_2", "recovery"),
        page.page_pairs.Pair("recovery", "frozen_0", "l1"),
        page.page_pairs.Pair("widths", "frozen_2", "l1"),
    ]
    text = page.page_pairs.pairs(sections, chosen)
    cascade, l1 = "cascade, 2 assistants", "one-shot L1, fine-tuned"
    assert cells(text, "recovery") == [
        ["vgg16, cifar10", "75%", cascade, l1, "+5.00, +4.00", "+4.50 ± 0.71"],
        ["vgg19, cifar10", "75%", cascade, l1, "+5.00", "+5.00"],
    ]
    assert cells(text, "longer_training") == [
        ["vgg16, cifar10", "75%", cascade, f"recovery: {cascade}", "+1.00", "+1.00"]
    ]
    assert page.page_pairs.pairs(sections, chosen[2:]) == ""


GENERATED = re.compile(r"<!-- begin .*?<!-- end \w+ -->", re.DOTALL)


def spreads(text):
    found = re.findall(r"(\d+\.\d+)\s+±\s+(\d+\.\d+)", text)
    return [(float(mean), float(std)) for mean, std in found]


def spreads_by_experiment(page):
    """Those of the tables that docs/results.md has of each experiment, by its name."""
    tables = "".join(GENERATED.findall((EXPERIMENTS.parent / "docs" / "results.md").read_text()))
    _, *sections = re.split(r"^### (.*): preset `\w+`$", tables, flags=re.MULTILINE)
    by_title = {}
    for title, text in zip(sections[::2], sections[1::2], strict=True):
        by_title.setdefault(title, []).extend(spreads(text))
    found = {}
    for name in page.experiment_names.names():
        path = page.experiment_names.path_of(name)
        title = Experiment.read(path, Experiment.presets(path)[0]).title
        pairs = [line for line in tables.splitlines() if line.startswith(f"| {name} |")]
        found[name] = by_title.get(title, []) + spreads("\n".join(pairs))
    return found


@pytest.mark.parametrize("name", ["docs/results.md", "README.md"])
def test_every_spread_that_the_text_tells_stands_in_a_table(page, name):
    """In one of an experiment that the same paragraph names, where it names any."""
    by_experiment = spreads_by_experiment(page)
    text = GENERATED.sub("", (EXPERIMENTS.parent / name).read_text())
    rounded = 0.0501  # tables have two decimals, the text has one
    told, missing = 0, []
    for paragraph in re.split(r"\n\n|\n- |\n\| ", text):
        named = [each for each in by_experiment if f"`{each}`" in paragraph] or by_experiment
        tables = [figures for each in named for figures in by_experiment[each]]
        for mean, std in spreads(paragraph):
            told += 1
            if not any(
                abs(mean - other[0]) <= rounded and abs(std - other[1]) <= rounded
                for other in tables
            ):
                missing.append((mean, std, paragraph.split("**")[:2]))
    assert told and not missing


def test_results_without_any_of_the_overviews_leave_it_as_it_is(page, tmp_path, monkeypatch):
    experiment = Experiment.read(EXPERIMENTS / "vgg16_cifar10.toml", "cpu")
    settings = json.loads(json.dumps(experiment.protocol.as_dict()))
    lines = [json.dumps(row | {"settings": settings}) + "\n" for row in rows("cpu")]
    (tmp_path / "vgg16_cifar10_cpu.jsonl").write_text("".join(lines))
    markdown, readme = tmp_path / "results.md", tmp_path / "README.md"
    for path in (markdown, readme):
        names = ("overview", "claims", "pairs", "experiments")
        path.write_text("".join(f"<!-- begin {n} -->\nold {n}\n<!-- end {n} -->\n" for n in names))
    flags = {
        "results_dir": tmp_path,
        "page": markdown,
        "readme": readme,
        "references": ["frozen_2"],
    }
    monkeypatch.setattr(page, "FLAGS", types.SimpleNamespace(**flags))
    page.main()
    assert "old overview" in readme.read_text() and "old overview" in markdown.read_text()
    assert "old pairs" in markdown.read_text()
    assert "old experiments" not in markdown.read_text()


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ([], "at 75% removed"),
        ([0.9], "at 75% and 90% removed"),
        ([0.5, 0.9], "against MACs removed"),
    ],
)
def test_one_or_two_amounts_are_drawn_as_dots_and_more_as_curves(page, tmp_path, more, what):
    experiment = Experiment.read(EXPERIMENTS / "vgg16_cifar10.toml", "cpu")
    first = rows("cpu")
    others = [{**row, "amount": amount} for amount in more for row in first if row["amount"]]
    text = page.Section(experiment, [*first, *others[:-1]], tmp_path).text()
    assert f"![VGG16 on CIFAR-10: accuracy {what}](results/" in text
    assert (tmp_path / "vgg16_cifar10_cpu_cifar10_vgg16.png").stat().st_size > 10_000


def test_another_librarys_rows_are_read_from_a_file_of_each_experiment(page, tmp_path):
    for name, accuracy in (("vgg16_cifar10", 0.5), ("longer_training", 0.6)):
        file = tmp_path / f"{name}_cpu.jsonl"
        experiment = Experiment.read(EXPERIMENTS / f"{name}.toml", "cpu")
        settings = json.loads(json.dumps(experiment.protocol.as_dict()))
        for path in (file, tmp_path / f"{name}_cpu_torch_pruning.jsonl"):
            path.write_text(
                json.dumps(rows("cpu")[0] | {"accuracy": accuracy, "settings": settings}) + "\n"
            )
    found = {part.experiment.name: part for part in page._sections(tmp_path, ["cpu"])}
    assert {name: part.outside[0]["accuracy"] for name, part in found.items()} == {
        "vgg16_cifar10": 0.5,
        "longer_training": 0.6,
    }


def test_another_library_is_compared_with_its_own_teachers(page, tmp_path):
    experiment = Experiment.read(EXPERIMENTS / "vgg16_cifar10.toml", "all_images")
    outside = [
        {
            "model": "vgg16", "dataset": "cifar10", "amount": 0.75, "seed": seed,
            "teacher_accuracy": 0.9, "sparse_accuracy": 0.88, "accuracy_before_fine_tuning": 0.1,
            "accuracy": 0.86 + seed / 50, "params": 30, "teacher_params": 100,
            "macs": 24, "teacher_macs": 100,
        }
        for seed in (0, 1)
    ]  # fmt: skip
    text = page.Section(experiment, rows("all_images"), tmp_path, outside).text()
    ((accuracies),) = cells(text, "75% (2)")
    spread = ["90.00 ± 0.00", "88.00 ± 0.00", "10.00 ± 0.00", "87.00 ± 1.41", "-3.00 ± 1.41"]
    assert accuracies == [*spread, "30.0", "24.0"]
    assert "Torch-Pruning" not in section(page, tmp_path, "all_images")


def test_published_figures_stand_beside_the_full_preset_where_it_was_run(page, tmp_path):
    narrow = section(page, tmp_path, "cpu")
    assert cells(narrow, "White-Box") == [["", "93.47", "76%", "not run"]]
    (tmp_path / "vgg16_cifar10_full.jsonl").touch()
    narrow, whole = (section(page, tmp_path, preset) for preset in ("cpu", "full"))
    assert "White-Box" not in narrow
    assert cells(whole, "White-Box") == [["", "93.47", "76%", "85.50 at 75%"]]
    assert "| ours: cascade, 2 assistants, full preset |" in whole


def test_the_recipes_own_student_is_the_one_beside_published_figures(page, tmp_path):
    (tmp_path / "vgg16_cifar10_full.jsonl").touch()
    experiment = Experiment.read(EXPERIMENTS / "vgg16_cifar10.toml", "full")
    guided = rows("full")
    annealed = [
        row | {"method": "frozen_2_annealed", "accuracy": 0.95}
        for row in guided
        if row["method"] == "frozen_2"
    ]
    text = page.Section(experiment, [*guided, *annealed], tmp_path).text()
    assert cells(text, "White-Box") == [["", "93.47", "76%", "95.00 at 75%"]]


def test_every_published_table_is_of_an_experiment(page):
    names = {path.stem for path in EXPERIMENTS.glob("*.toml") if path.name != COMMON}
    assert set(page.tomllib.loads(page.PUBLISHED.read_text())) <= names
