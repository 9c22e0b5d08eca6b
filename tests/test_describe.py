"""What the nodes show before a run: formula, cost and curves of a posted graph."""

import time
from typing import Any

import pytest

from gcfg_core.guidance.cost import evaluation_phases
from gcfg_core.guidance.curves import Constant, Cosine, Keyframes, Linear, Ramp
from gcfg_core.guidance.graph import GuidanceGraph, GuidanceTerm, Side
from gcfg_core.guidance.plan import compile_plan
from gcfg_core.guidance.sampling_progress import SamplingProgress, Window
from rigs.posted import node, papers_graph

PAPER = ["D = base(null)", "+ 2.5 * (concept(null) - base(null))", "+ 2.5 * (base(control) - base(null))"]


class TestProfile:
    @pytest.mark.parametrize(
        "curve", [Constant(), Linear(-1.0), Cosine(0.4), Ramp(0.3), Keyframes(((0.2, 1), (0.9, 3)))]
    )
    @pytest.mark.parametrize("window", [Window(), Window(0.0, 0.4), Window(0.25, 0.75), Window(0.5, 1.0)])
    def test_lies_on_the_weights_that_sampling_uses(self, curve: Any, window: Window) -> None:
        term = GuidanceTerm(weight=-2.5, curve=curve, window=window)
        points = term.weight_profile()
        assert points[0][0] == 0.0 and points[-1][0] == 1.0
        assert [percent for percent, _ in points] == sorted(percent for percent, _ in points)
        progress = SamplingProgress(lambda percent: 1.0 - percent)
        for (percent, weight), (following, _) in zip(points, points[1:], strict=False):
            if percent < following:  # where two points share a percent the later one acts
                assert term.weight_at(1.0 - percent, progress) == pytest.approx(weight, abs=1e-5)

    def test_an_empty_window_never_acts(self) -> None:
        assert {weight for _, weight in GuidanceTerm(weight=2.0, window=Window(0.5, 0.5)).weight_profile()} == {0.0}


class TestPhases:
    def test_windows_change_the_number_of_evaluations(self) -> None:
        term = GuidanceTerm(Side("c"), weight=2.5, window=Window(0.25, 0.75))
        phases = evaluation_phases(compile_plan(GuidanceGraph(Side("base", object()), (term,))))
        assert [(phase.start, phase.end, phase.evaluations) for phase in phases] == [
            (0.0, 0.25, 1), (0.25, 0.75, 2), (0.75, 1.0, 1),
        ]  # fmt: skip

    def test_equal_neighbours_are_one(self) -> None:
        terms = [GuidanceTerm(Side("c"), weight=2.5, window=window) for window in (Window(0.0, 0.5), Window(0.5, 1.0))]
        assert len(evaluation_phases(compile_plan(GuidanceGraph(Side("base", object()), tuple(terms))))) == 1


class TestGuider:
    def test_the_papers_graph(self, describe: Any) -> None:
        shown = describe(papers_graph(), "3")
        assert shown["formula"] == PAPER
        assert shown["cost"] == "3 evaluations per step, 2 models"
        assert shown["evaluations"] == [[0.0, 1.0, 3]]

    def test_prompts_without_a_label_are_named_by_their_first_words(self, describe: Any) -> None:
        """U18: not `null` and `c1`; an empty prompt stays `null`, a label stays the name."""
        prompt = papers_graph(label="") | {
            "12": node("CLIPTextEncode", text="a dog on\n a long sandy beach, at noon"),
            "13": node("CLIPTextEncode", text="blurry"),
        }
        shown = describe(prompt, "3")
        assert shown["formula"] == [
            "D = base('blurry')",
            "+ 2.5 * (concept('blurry') - base('blurry'))",
            "+ 2.5 * (base('a dog on a long sandy…') - base('blurry'))",
        ]
        assert (
            shown["formula_of_run"]
            == "D = base(null) + 2.5 * (concept(null) - base(null)) + 2.5 * (base(c1) - base(null))"
        )
        prompt["13"]["inputs"]["text"], prompt["2"]["inputs"]["label"] = " ", "control"
        assert describe(prompt, "3")["formula"] == PAPER

    def test_says_what_the_guider_says_when_it_runs(self, describe: Any, pack: Any) -> None:
        from rigs.micro import micro_cond, micro_model

        (terms,) = pack.run("GCFG_GuidanceTerm", model=micro_model(1), label="concept")
        (terms,) = pack.run("GCFG_GuidanceTerm", terms=terms, positive=micro_cond(1), label="control", curve="linear")
        inputs = {"model": micro_model(0), "conditioning": micro_cond(0), "terms": terms, "rescale": 0.7}
        (text,) = pack.ui("GCFG_Guider", **inputs)["text"]
        prompt = papers_graph(curve="linear")
        prompt["3"]["inputs"]["rescale"] = 0.7
        assert " ".join(describe(prompt, "3")["formula"]) == text.split("\n")[0]

    def test_what_two_terms_share_is_evaluated_once(self, describe: Any) -> None:
        prompt = papers_graph()
        prompt["2"]["inputs"]["model"] = ["11", 0]
        assert describe(prompt, "3")["evaluations"] == [[0.0, 1.0, 3]]
        prompt["2"]["inputs"]["model"] = ["11", 1]
        assert describe(prompt, "3")["models"] == 3

    def test_a_window_is_told(self, describe: Any) -> None:
        shown = describe(papers_graph(start_percent=0.3), "3")
        assert shown["cost"] == "3 evaluations per step (2 from 0% to 30%), 2 models"

    def test_weight_zero_costs_nothing(self, describe: Any) -> None:
        assert describe(papers_graph(weight=0.0), "3")["evaluations"] == [[0.0, 1.0, 2]]

    def test_cfg_pp_samplers_ask_for_the_base(self, describe: Any) -> None:
        prompt = {
            "1": node("term", positive=("12", 0), weight=1.0),
            "2": node("GCFG_Sampler", model=("10", 0), conditioning=("13", 0), terms=("1", 0), sampler_name="euler"),
        }
        assert describe(prompt, "2")["cost"].startswith("1 evaluation per step")
        prompt["2"]["inputs"]["sampler_name"] = "euler_cfg_pp"
        assert describe(prompt, "2")["cost"].startswith("2 evaluations per step")

    def test_masks_are_never_taken_for_flat(self, describe: Any) -> None:
        prompt = papers_graph(mask=("14", 0), weight=-1.0)
        prompt["1"]["inputs"] |= {"mask": ["15", 0], "weight": 1.0}
        assert describe(prompt, "3")["evaluations"] == [[0.0, 1.0, 3]]
        assert "mask[control]" in describe(prompt, "3")["formula"][2]

    def test_modify_and_merge(self, describe: Any) -> None:
        prompt = papers_graph() | {
            "4": node("modify", terms=("1", 0), refresh=2, parallel=1.0, norm_cap=0.0, projection="off"),
            "5": node("merge", terms_1=("4", 0), terms_2=("4", 0)),
        }
        prompt["3"]["inputs"]["terms"] = ["5", 0]
        shown = describe(prompt, "3")
        assert len(shown["formula"]) == 3 and "every[2]" in shown["formula"][2]
        assert shown["cost"].startswith("at most 2 evaluations")


class TestWhatIsNotKnown:
    def test_open_sockets_wait(self, describe: Any) -> None:
        prompt = {"3": node("guider", "My guider")}
        assert describe(prompt, "3") == {"waits": "connect model and conditioning."}
        prompt = papers_graph() | {"4": node("modify", "Modify")}
        prompt["3"]["inputs"]["terms"] = ["4", 0]
        assert describe(prompt, "3") == {"waits": "Modify (4): connect terms."}

    def test_terms_of_another_pack(self, describe: Any) -> None:
        prompt = papers_graph() | {"7": node("AnySwitch", "Any Switch")}
        prompt["3"]["inputs"]["terms"] = ["7", 0]
        assert describe(prompt, "3") == {"waits": "The terms come from Any Switch (7): they are known when it runs."}
        prompt["3"]["inputs"]["terms"] = ["8", 0]
        assert describe(prompt, "3")["waits"].startswith("The terms come from node (8)")

    def test_a_linked_weight(self, describe: Any) -> None:
        prompt = papers_graph(weight=("9", 0)) | {"9": node("RandomFloat", "Dice")}
        shown = describe(prompt, "3")
        assert shown["formula"][2] == "+ ? * (base(control) - base(null))"
        assert shown["notes"] == ["Control (2): weight comes from Dice (9), known when it runs."]
        assert describe(prompt, "2") == {"waits": "weight comes from Dice (9), known when it runs."}

    def test_linked_weights_do_not_cancel(self, describe: Any) -> None:
        """base + w * (other - base) + v * (base - other): of the other model nothing is left only where v = w."""
        prompt = papers_graph() | {"8": node("RandomFloat", "Coin"), "9": node("RandomFloat", "Dice")}
        other = {"model": ["11", 0], "positive": ["13", 0]}
        prompt["1"]["inputs"] = {"weight": ["8", 0], **other}
        prompt["2"]["inputs"] = {"terms": ["1", 0], "weight": ["9", 0], "positive": ["13", 0]}
        prompt["2"]["inputs"] |= {"reference_model": ["11", 0], "reference": ["13", 0]}
        assert describe(prompt, "3")["evaluations"] == [[0.0, 1.0, 2]]
        prompt["2"]["inputs"]["weight"] = ["8", 0]
        assert describe(prompt, "3")["evaluations"] == [[0.0, 1.0, 1]]

    def test_long_labels_are_cut(self, describe: Any) -> None:
        lines = describe(papers_graph(label="x" * 1500), "3")["formula"]
        assert max(map(len, lines)) < 300

    def test_another_linked_value_is_assumed(self, describe: Any) -> None:
        prompt = papers_graph(end_percent=("9", 0)) | {"9": node("RandomFloat", "Dice")}
        for shown in (describe(prompt, "3"), describe(prompt, "2")):
            assert shown["notes"] == [
                "Control (2): end_percent comes from Dice (9), known when it runs; 1.0 is assumed."
            ]

    def test_a_primitive_node_is_known(self, describe: Any) -> None:
        prompt = papers_graph(weight=("9", 0)) | {"9": node("PrimitiveFloat", value=-4)}
        assert describe(prompt, "3")["formula"][2] == "- 4 * (base(control) - base(null))"

    def test_an_unknown_node(self, describe: Any) -> None:
        assert "error" in describe({}, "5")
        assert "error" in describe({"5": node("KSampler")}, "5")


class TestErrors:
    @pytest.mark.parametrize(
        ("inputs", "message"),
        [
            ({"start_percent": 0.8, "end_percent": 0.2}, r"start_percent (0.8) is after end_percent (0.2)"),
            ({"curve": "keyframes", "keyframes": "half"}, "expected 'position:factor' like '0.5:2', got 'half'"),
            ({"weight": 1e6}, "weight: expected a number from -100 to 100, got 1000000.0"),
            ({"weight": float("nan")}, "weight: expected a number, got nan"),
            ({"weight": "2"}, "weight: expected a number, got '2'"),
            ({"weight": True}, "weight: expected a number, got True"),
            ({"weight": None}, "weight: expected a number, got None"),
            ({"curve": "spiral"}, "curve: expected one of constant, linear"),
            ({"curve": []}, "curve: expected one of constant, linear"),
            ({"label": 5}, "label: expected a text, got 5"),
            ({"label": "x" * 3000}, "label: expected at most 2000 characters, got 3000"),
            ({"weight": 100, "curve": "keyframes", "keyframes": "0:1e307"}, "the weight is too large"),
        ],
    )
    def test_says_what_is_wrong(self, describe: Any, inputs: dict, message: str) -> None:
        assert message in describe(papers_graph(**inputs), "2")["error"]

    def test_the_guider_names_the_node(self, describe: Any) -> None:
        assert describe(papers_graph(weight=1e6), "3")["error"].startswith("Control (2): weight")

    def test_a_loop(self, describe: Any) -> None:
        prompt = papers_graph()
        prompt["1"]["inputs"]["terms"] = ["2", 0]
        assert "the links form a loop" in describe(prompt, "3")["error"]

    def test_too_many_terms(self, describe: Any) -> None:
        prompt = {"0": node("term")} | {
            str(i): node("merge", terms_1=(str(i - 1), 0), terms_2=(str(i - 1), 0)) for i in range(1, 20)
        }
        prompt["99"] = node("guider", model=("10", 0), conditioning=("13", 0), terms=("19", 0))
        assert "more than 64 terms" in describe(prompt, "99")["error"]

    def test_too_long_a_chain(self, describe: Any) -> None:
        prompt = {"0": node("term")} | {str(i): node("modify", terms=(str(i - 1), 0)) for i in range(1, 2000)}
        prompt["g"] = node("guider", model=("a", 0), conditioning=("b", 0), terms=("1999", 0))
        assert "more than 128 nodes in a row" in describe(prompt, "g")["error"]

    def test_the_largest_graph_is_described_quickly(self, describe: Any) -> None:
        prompt: dict[str, Any] = {}
        for i in range(64):
            earlier = {"terms": (str(i - 1), 0)} if i else {}
            prompt[str(i)] = node(
                "term",
                model=("m", i),
                positive=("c", i),
                mask=("k", i),
                start_percent=i / 100,
                curve="cosine",
                **earlier,
            )
        prompt["g"] = node("guider", model=("m", 0), conditioning=("c", 0), terms=("63", 0))
        began = time.perf_counter()
        assert len(describe(prompt, "g")["formula"]) == 65
        assert time.perf_counter() - began < 5


class TestPosted:
    @pytest.mark.parametrize(
        "body",
        [
            None, [], {}, {"prompt": {}}, {"prompt": [], "nodes": []}, {"prompt": {}, "nodes": [5]},
            {"prompt": {"1": 5}, "nodes": []}, {"prompt": {"1": {}}, "nodes": []},
            {"prompt": {"1": {"class_type": "x", "inputs": []}}, "nodes": []},
            {"prompt": {}, "nodes": ["1"] * 1000},
            {"prompt": {str(i): {"class_type": "x"} for i in range(5000)}, "nodes": []},
        ],
    )  # fmt: skip
    def test_what_is_no_prompt_is_refused(self, pack: Any, body: Any) -> None:
        with pytest.raises(ValueError, match="expected"):
            pack.module("nodes.live.posted").read_posted(body)

    def test_names_are_one_short_line(self, pack: Any) -> None:
        posted = pack.module("nodes.live.posted").read_posted({"prompt": {"1": node("term", "a\n" * 500)}, "nodes": []})
        assert len(posted.name("1")) < 90 and "\n" not in posted.name("1")
