"""The page, as people use it: in a browser, on a running Airflow, against an emulator."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from firestore_migrations.runs.lease import Lease
from firestore_migrations.runs.ledger import Ledger
from tests.live.airflow import Live
from tests.runs.world import World
from tests.web.conftest import DOWN, ROOT, Person

V001, V003, V004 = "firestore_v001_add_user_stats", "firestore_v003_mark_users", "firestore_v004_date_users"
_ENDED = "document.querySelector('#live .facts').innerText.includes('ended ')"


def begin(person: Person, dag_id: str, target: str, **fields: Any) -> str:
    """Begin a run by the form, as a person does; the run's id."""
    person.open(f"/trigger/{dag_id}?target={target}")
    page = person.page
    page.evaluate("document.querySelectorAll('form.params details').forEach(part => part.setAttribute('open', ''))")
    for name, value in fields.items():
        field = page.locator(f"[name={name}]")
        if field.evaluate("element => element.tagName") == "SELECT":
            field.select_option(str(value))
        else:
            field.fill(str(value))
    page.get_by_role("button", name="Begin the run").click()
    page.wait_for_url("**/runs/**")
    return unquote(page.url.rsplit("/", 1)[-1])


def state_of(person: Person) -> str:
    """The run's state, as its page says it."""
    return person.page.locator("#live .status .badge").inner_text().split()[-1]


def cell(person: Person, version: str, target: str) -> Any:
    """The cell of the table of a version and a target."""
    row = person.page.locator(f"table.overview tr:has(th:has-text('{version}'))")
    return row.locator(f"td[data-target='{target}']")


def test_without_a_login_there_is_no_data(somebody: Callable[..., Person], live: Live) -> None:
    stranger = somebody()
    for path in ("/", "/overview", "/versions/v001", "/runs/recoup_staging/v001/x", "/audit/recoup_staging?form=csv"):
        assert stranger.open(path) == 401
        assert "not logged in" in stranger.page.inner_text("main")
        assert "recoup" not in stranger.page.inner_text("main")
    assert stranger.context.request.post(f"{live.url}{ROOT}/pause/recoup_staging/v001/x").status in (401, 403)


def test_the_table_says_where_every_version_stands_and_a_target_that_is_down_holds_nothing_up(
    operator: Person, pictures: Path
) -> None:
    operator.open("/")  # the first one waits for what a server loads once
    began = time.monotonic()
    assert operator.open("/") == 200
    assert time.monotonic() - began < 3
    assert cell(operator, "v001", "recoup_staging").locator(".badge").inner_text().split() == ["○", "pending"]
    assert cell(operator, "v001", "recoup_staging").get_by_role("link", name="Dry run").is_visible()
    assert cell(operator, "v001", "recoup_production").get_by_role("link", name="Rehearse").is_visible()
    assert (
        "v002 comes after versions that are not applied here: v001"
        in cell(operator, "v002", "recoup_staging").inner_text()
    )
    assert f"{DOWN} does not answer" in cell(operator, "v001", DOWN).inner_text()
    began = time.monotonic()
    assert operator.open(f"/audit/{DOWN}") == 503
    assert time.monotonic() - began < 3
    assert f"{DOWN} does not answer" in operator.page.inner_text("main")
    operator.open("/?state=verified")
    assert operator.page.locator("table.overview tbody tr").count() <= 1


def test_a_dry_run_by_the_keyboard_alone_ends_with_a_plan_that_can_be_read_and_searched(operator: Person) -> None:
    operator.open("/")
    page = operator.page
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText + document.activeElement.href").startswith("Dry run"):
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/trigger/**target=recoup_staging&mode=dry_run")
    page.locator("button.primary").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs/recoup_staging/v001/**")
    operator.wait_for(_ENDED)
    assert state_of(operator) == "planned"

    page.get_by_role("link", name="Plan").click()
    text = page.inner_text("main")
    assert "242 writes of 242 documents" in text
    assert re.search(r"user_stats\s+242\s+0\s+0", text)
    sample = page.locator("article.sample").first
    assert "totalInvoices" in sample.inner_text()
    assert "integer" in sample.inner_text()
    assert "absent" in sample.inner_text()
    page.fill("#q", "u019")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=u019**")
    assert page.locator("article.sample").count() == 10
    assert all("user_stats/u019" in name for name in page.locator("article.sample h3").all_inner_texts())
    page.fill("#q", "STATS/u00")
    page.get_by_role("button", name="Search").click()
    seen: list[str] = []
    while True:
        seen += page.locator("article.sample h3 code").all_inner_texts()
        if not page.get_by_role("link", name="Next page").count():
            break
        page.get_by_role("link", name="Next page").click()
        page.wait_for_load_state()
    assert seen == [f"user_stats/u{number:04d}" for number in range(100)]


def test_a_run_is_followed_live_paused_and_resumed_and_a_viewer_sees_it_and_cannot_act(
    operator: Person, viewer: Person, live: Live, worlds: dict[str, World]
) -> None:
    run_id = begin(operator, V001, "recoup_staging", batch_size=2, max_writes_per_second=60)
    page = operator.page
    operator.wait_for("document.querySelector('.phases li.working .name')?.innerText === 'apply'")
    shown = set()
    began = time.monotonic()
    while time.monotonic() - began < 8:
        shown.add(page.locator("#live .status").inner_text())
        page.wait_for_timeout(200)
    assert len(shown) >= 4, shown
    text = page.inner_text("#live")
    assert re.search(r"\d+ of 242 documents\s+\d+/s\s+[\d.]+ s left", text), text
    assert "Waits: the limit is 60 writes a second over all shards" in text
    assert page.locator("#live svg polygon").count() == 1
    operator.take_picture("page-run")

    viewer.open(f"/runs/recoup_staging/v001/{run_id}")
    assert "Your role may look at this run, and not act on it." in viewer.page.inner_text("main")
    assert viewer.page.locator("main form[method=post]").count() == 0

    page.get_by_role("button", name="Pause").click()
    operator.wait_for("document.querySelector('#live .waits')?.innerText.includes('paused by admin')")
    assert state_of(operator) == "paused"
    page.wait_for_timeout(2500)
    written = len(worlds["recoup_staging"].audit.batches("v001", run_id))
    page.wait_for_timeout(2000)
    assert len(worlds["recoup_staging"].audit.batches("v001", run_id)) == written
    page.get_by_role("button", name="Resume").click()
    operator.wait_for("document.querySelector('#live .status .badge').innerText.includes('applying')")
    operator.wait_for(_ENDED, seconds=180)
    assert state_of(operator) == "verified"
    assert page.locator(".phases .n").all_inner_texts() == ["242 / 242"] * 4
    data = worlds["recoup_staging"].audit.runs("v001")[run_id]
    assert (data["triggered_by"], data["counts"]["created"]) == ("admin", 242)
    assert f"{data['price']:.6f}".rstrip("0") in page.inner_text("#live .numbers")


def test_what_failed_is_listed_with_its_reason_and_redriven_when_the_file_is_mended(
    operator: Person, live: Live, migrations: Path
) -> None:
    """Names, values and reasons that hold markup stay text."""
    for version in ("v001", "v002"):
        live.command("firestore_migrations.cli", "baseline", version, "--target", "recoup_sandbox")
    run_id = begin(operator, V003, "recoup_sandbox", max_failures=5)
    operator.wait_for(_ENDED)
    page = operator.page
    assert state_of(operator) == "verified"
    page.get_by_role("link", name="Failures").click()
    rows = page.locator("main table tbody tr")
    assert rows.count() == 2
    assert "users/<script>alert(1)<script>" in rows.nth(0).inner_text()
    assert "it cannot be marked <script>alert(4)</script>" in rows.nth(0).inner_text()
    assert page.locator("main script, main b:has-text('mark')").count() == 0
    operator.take_picture("page-failures")
    page.get_by_role("link", name="Plan").click()
    assert "<b>mark</b>" in page.locator("article.sample").first.inner_text()
    assert "<script>alert(5)</script>" in page.locator("article.sample").first.inner_text()
    operator.take_picture("page-plan")
    page.fill("#q", "<script>alert(6)</script>")
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**q=%3Cscript**")
    assert page.input_value("#q") == "<script>alert(6)</script>"

    file = migrations / "v003_mark_users.py"
    file.write_text(file.read_text().replace('    if user.get("unmarkable"):\n', "    if False:\n"))
    operator.open("/")
    assert cell(operator, "v003", "recoup_sandbox").locator(".badge").inner_text().split()[-1] == "changed"
    assert "edited" in cell(operator, "v003", "recoup_sandbox").inner_text()
    operator.open(f"/failures/recoup_sandbox/v003/{run_id}")
    page.get_by_role("link", name="Redrive what failed").click()
    assert page.is_checked("[name=redrive]")
    page.get_by_role("button", name="Begin the run").click()
    page.wait_for_url("**/runs/**")
    operator.wait_for(_ENDED)
    assert state_of(operator) == "verified"
    operator.open("/")
    assert cell(operator, "v003", "recoup_sandbox").locator(".badge").inner_text().split()[-1] == "verified"
    operator.open(f"/failures/recoup_sandbox/v003/{run_id}")
    assert [row.split()[-3] for row in rows.all_inner_texts()] == ["redriven"] * 2
    operator.open("/versions/v003")
    checksums = page.locator("h2:has-text('Checksums') + .scroll tbody tr").all_inner_texts()
    assert [text.split("\t")[-1] for text in checksums] == ["the file as it is now", "an earlier file"]


def test_a_rollback_says_what_it_would_do_and_the_same_form_sent_twice_begins_one_run(
    operator: Person, live: Live, worlds: dict[str, World]
) -> None:
    before = worlds["recoup_laptop"].read()
    begin(operator, V001, "recoup_laptop")
    operator.wait_for(_ENDED)
    assert len(worlds["recoup_laptop"].read()) == len(before) + 242
    page = operator.page
    page.get_by_role("link", name="Roll back").click()
    text = page.inner_text("main")
    assert "242 documents get their before-images back, for about 0.000339 USD" in text
    assert "Afterwards v001 is ↩rolled_back" in text.replace("\n", "")
    operator.take_picture("page-rollback")
    form = {name: page.input_value(f"form.params [name={name}]") for name in ("run_id", "target", "direction")}
    posted = [
        operator.context.request.post(
            f"{live.url}{ROOT}/trigger/{V001}",
            form={**form, "mode": "apply"},
            headers={"origin": live.url},
            max_redirects=0,
        )
        for _ in range(2)
    ]
    assert [answer.status for answer in posted] == [303, 303]
    assert posted[0].headers["location"] == posted[1].headers["location"]
    page.goto(live.url + posted[0].headers["location"])
    operator.wait_for(_ENDED)
    assert state_of(operator) == "rolled_back"
    assert len([run for run in live.runs(V001) if run == form["run_id"]]) == 1
    assert worlds["recoup_laptop"].read() == before

    begin(operator, V001, "recoup_laptop", batch_size=1, max_writes_per_second=20)
    operator.wait_for("document.querySelector('#live .status .badge').innerText.includes('applying')")
    page.get_by_text("Cancel …").click()
    page.wait_for_timeout(1500)  # a page that goes on with itself does not close what somebody has opened
    page.get_by_role("button", name="Cancel").click()
    operator.wait_for("document.querySelector('#live')?.innerText.includes('cancelled by admin')")
    assert state_of(operator) == "failed"
    assert worlds["recoup_laptop"].audit.versions()["v001"]["state"] == "failed"


def test_a_run_that_its_budget_stopped_goes_on_from_the_page_with_another(
    operator: Person, worlds: dict[str, World]
) -> None:
    run_id = begin(operator, V001, "recoup_laptop", budget=0.0001)
    operator.wait_for(_ENDED)
    assert state_of(operator) == "failed"
    assert "more than the budget of 0.0001 USD" in operator.page.inner_text("#live .warning")
    operator.page.fill("[name=budget]", "1")
    operator.take_picture("page-budget")
    operator.page.get_by_role("button", name="Resume").click()
    operator.page.wait_for_url("**said=resumed")
    operator.wait_for("document.querySelector('#live .status .badge').innerText.includes('verified')")
    data = worlds["recoup_laptop"].audit.runs("v001")[run_id]
    assert (data["state"], data["budget"]) == ("verified", 1.0)


def test_a_run_of_a_thousand_batches_is_followed_without_its_answers_growing(operator: Person) -> None:
    begin(operator, V001, "recoup_archive", batch_size=1)
    page = operator.page
    operator.wait_for("document.querySelector('.phases li.working .name')?.innerText === 'apply'")
    operator.wait_for(_ENDED)
    assert state_of(operator) == "verified"
    numbers = page.inner_text("#live .numbers")
    assert re.search(r"batches\s+1,002 / 1,002", numbers), numbers
    sizes = page.evaluate(
        "performance.getEntriesByType('resource').filter(entry => entry.name.includes('/live/'))"
        ".map(entry => entry.decodedBodySize)"
    )
    assert 0 < max(sizes) < 12_000
    operator.take_picture("page-thousand-batches")


def test_windows_are_shown_and_one_answer_approves_others_within_its_limits(
    operator: Person, live: Live, worlds: dict[str, World]
) -> None:
    extra = {"emulator_host": worlds["recoup_sandbox"].writer.address.emulator_host, "approval": True}
    extra |= {"project": worlds["recoup_sandbox"].writer.address.project, "database": "sandbox"}
    body = {"connection_id": "recoup_sandbox", "conn_type": "firestore", "extra": json.dumps(extra)}
    live.request("PATCH", "/connections/recoup_sandbox", json=body)
    page = operator.page
    first = begin(operator, V004, "recoup_sandbox", window="2026-01-01/2026-01-03")
    operator.wait_for("document.querySelector('#live')?.innerText.includes('This plan waits for your approval')")
    assert "window 2026-01-01 to 2026-01-03" in page.inner_text("#live .facts")
    page.click("summary:has-text('Approve other windows')")
    page.fill("[name=others_to]", "2026-01-05T00:00:00+00:00")
    page.fill("[name=others_most_writes]", "500")
    page.fill("[name=others_most_price]", "0.5")
    page.locator("[name=others_most_price]").blur()
    page.wait_for_timeout(5000)
    operator.take_picture("page-window-approval", full_page=True)
    page.get_by_role("button", name="Approve this plan").click()
    page.wait_for_url("**said=approved")
    operator.wait_for(_ENDED)
    assert state_of(operator) == "verified"
    second = begin(operator, V004, "recoup_sandbox", window="2026-01-04/2026-01-05")
    operator.wait_for(_ENDED)
    assert state_of(operator) == "verified"
    runs = worlds["recoup_sandbox"].audit.runs("v004")
    assert [runs[run]["counts"]["updated"] for run in (first, second)] == [120, 60]
    assert {runs[run]["approved_by"] for run in (first, second)} == {"admin"}
    operator.open("/versions/v004")
    card = page.locator(".card:has-text('recoup_sandbox')")
    windows = re.sub(r"\s+", " ", card.locator(".windows").inner_text())
    assert (
        windows
        == "done 2026-01-01 to 2026-01-03 2026-01-04 to 2026-01-05 missing 2026-01-03 to 2026-01-04 overlapping none"
    )
    card.scroll_into_view_if_needed()
    operator.take_picture("page-windows")


def test_a_bad_value_is_refused_at_the_form_with_airflows_reason_and_nothing_is_lost(
    operator: Person, live: Live
) -> None:
    operator.open(f"/trigger/{V001}?target=recoup_staging")
    page = operator.page
    page.click("summary:has-text('Rollout')")
    page.fill("[name=window]", "yesterday/today")
    before = len(live.runs(V001))
    page.get_by_role("button", name="Begin the run").click()
    assert "Airflow did not take it, so nothing was begun" in page.inner_text("main")
    assert "yesterday/today" in page.inner_text("[role=alert]")
    assert page.input_value("[name=window]") == "yesterday/today"
    assert len(live.runs(V001)) == before


def test_production_is_rehearsed_approved_and_applied_from_the_page(
    operator: Person, live: Live, worlds: dict[str, World]
) -> None:
    page = operator.page
    operator.open("/")
    cell(operator, "v001", "recoup_production").get_by_role("link", name="Rehearse").click()
    operator.take_picture("page-rehearse")
    page.get_by_role("button", name="Begin the run").click()
    page.wait_for_url("**/dags/firestore_rehearsal/runs/**")
    run_id = unquote(page.url.rsplit("/", 1)[-1])
    live.end_of("firestore_rehearsal", run_id)
    page.reload()
    assert "passed" in page.inner_text("main")

    rejected = begin(operator, V001, "recoup_production")
    operator.wait_for("document.querySelector('#live')?.innerText.includes('This plan waits for your approval')")
    page.wait_for_timeout(5000)
    page.get_by_role("button", name="Reject").click()
    page.wait_for_url("**said=rejected")
    operator.wait_for("document.querySelector('#live .status .badge').innerText.includes('rejected')")
    assert "rejected by admin" in page.inner_text("#live")
    assert worlds["recoup_production"].audit.runs("v001")[rejected]["writes"] == 0

    run_id = begin(operator, V001, "recoup_production")
    operator.wait_for("document.querySelector('#live')?.innerText.includes('This plan waits for your approval')")
    assert "a person is to approve plan" in page.inner_text("#live .waits")
    page.wait_for_timeout(5000)  # as long as a person reads
    page.get_by_role("link", name="what it changes").click()
    assert "types and lengths, and no values" in page.inner_text("main")
    operator.take_picture("page-approval")
    page.get_by_role("button", name="Approve this plan").click()
    page.wait_for_url("**said=approved")
    operator.wait_for(_ENDED)
    assert state_of(operator) == "verified"
    data = worlds["recoup_production"].audit.runs("v001")[run_id]
    assert data["approved_by"] == "admin"

    operator.open("/versions/v001")
    table = page.locator("h2:has-text('Rehearsals') + .scroll table")
    assert re.search(r"rehearsal of recoup_production on recoup_rehearsal.*passed", table.inner_text(), re.DOTALL)
    assert "applied to recoup_production" in table.inner_text()
    assert "def up(user: Document, db: Database)" in page.inner_text("pre.source")
    operator.take_picture("page-version", full_page=True)
    operator.open("/")
    operator.take_picture("page-overview")


def test_the_audit_says_who_did_what_and_can_be_taken_away(operator: Person, live: Live) -> None:
    operator.open("/audit/recoup_staging")
    page = operator.page
    page.select_option("[name=task]", "pause")
    page.get_by_role("button", name="Filter").click()
    rows = page.locator("main tbody tr")
    assert rows.count() == 1
    assert "paused by admin" in rows.first.inner_text()
    with page.expect_download() as downloaded:
        page.get_by_role("link", name="CSV").click()
    lines = list(csv.DictReader(io.StringIO(Path(downloaded.value.path()).read_text())))
    assert [(line["task"], line["by"], line["state"]) for line in lines] == [("pause", "admin", "paused")]
    answer = operator.context.request.get(f"{live.url}{ROOT}/audit/recoup_staging?form=json&task=resume")
    assert [event["message"] for event in answer.json()] == ["resumed by admin"]


def test_a_viewer_sees_everything_and_every_action_is_refused_also_by_hand(viewer: Person, live: Live) -> None:
    viewer.open("/versions/v001")
    actions = viewer.page.locator(".actions button, .actions a")
    assert actions.count() > 3
    assert all(actions.nth(at).is_disabled() for at in range(actions.count()))
    viewer.open(f"/trigger/{V001}")
    assert viewer.page.get_by_role("button", name="Begin the run").is_disabled()
    run_id = live.runs(V001)[0]
    posts = {
        f"/trigger/{V001}": {"run_id": "by_hand", "target": "recoup_staging"},
        f"/pause/recoup_staging/v001/{run_id}": {},
        f"/cancel/recoup_staging/v001/{run_id}": {},
        f"/approve/recoup_staging/v001/{run_id}": {"digest": "0" * 16, "answer": "approve"},
    }
    for path, form in posts.items():
        answer = viewer.context.request.post(f"{live.url}{ROOT}{path}", form=form, headers={"origin": live.url})
        assert answer.status in (403, 404), (path, answer.status)
    assert "by_hand" not in live.runs(V001)


def test_nothing_is_done_by_get_or_for_another_site(operator: Person, live: Live) -> None:
    run_id = live.runs(V001)[0]
    request = operator.context.request
    for path in (f"/pause/recoup_staging/v001/{run_id}", f"/approve/recoup_staging/v001/{run_id}"):
        assert request.get(f"{live.url}{ROOT}{path}").status in (404, 405)
    form = {"run_id": "from_elsewhere", "target": "recoup_staging"}
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {},
        {"origin": live.url, "sec-fetch-site": "cross-site"},
    ):
        answer = request.post(f"{live.url}{ROOT}/trigger/{V001}", form=form, headers=headers)
        assert answer.status == 403, headers
    assert "from_elsewhere" not in live.runs(V001)
    answer = request.get(f"{live.url}{ROOT}/")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_target_is_unlocked_from_the_run_that_the_page_named_and_from_no_other(
    operator: Person, worlds: dict[str, World]
) -> None:
    ledger = Ledger(worlds["recoup_rehearsal"].writer)
    Lease(ledger, "v001/ghost").acquire()
    operator.open("/")
    page = operator.page
    page.locator("thead th:has-text('recoup_rehearsal')").get_by_role("link", name="unlock").click()
    assert "v001/ghost" in page.inner_text("main")
    page.check("[name=surely]")
    page.get_by_role("button", name="Take recoup_rehearsal from it").click()
    page.wait_for_url("**said=unlocked")
    assert ledger.get("_migrations/_lease")[0][0].data["holder"] == ""  # type: ignore[union-attr]


def test_the_tabs_show_the_same_in_airflow_and_say_nothing_wrong_of_other_dags(operator: Person, live: Live) -> None:
    run_id = live.runs(V001)[0]
    operator.open(f"/dags/{V001}/runs/{run_id}/plugin/migration-run", root="")
    frame = operator.page.frame_locator("iframe")
    frame.locator("#live").wait_for(timeout=30_000)
    assert "v001 add_user_stats" in frame.locator("h1").inner_text()
    frame.locator("a.airflow").wait_for(state="detached")
    operator.take_picture("page-tab")
    operator.open(f"/dags/{V001}/plugin/migration", root="")
    frame.locator("h1:has-text('v001 add_user_stats')").wait_for(timeout=30_000)
    operator.open("/dags/follow_users/plugin/migration", root="")
    frame.locator("text=runs no migration of a single version").wait_for(timeout=30_000)
    operator.open("/plugin/firestore-migrations", root="")
    frame.locator("h1:has-text('Versions')").wait_for(timeout=30_000)


def test_it_is_as_dark_as_airflow_and_fits_a_telephone(somebody: Callable[..., Person], live: Live) -> None:
    person = somebody("admin", viewport={"width": 380, "height": 800})
    run_id = live.runs(V001)[0]
    target = str(live.request("GET", f"/dags/{V001}/dagRuns/{run_id}")["conf"]["target"])
    for path in (
        "/",
        "/versions/v001",
        f"/runs/{target}/v001/{run_id}",
        f"/plan/{target}/v001/{run_id}",
        f"/failures/{target}/v001/{run_id}",
        f"/audit/{target}",
        f"/trigger/{V001}",
    ):
        assert person.open(path) == 200, path
        assert person.page.evaluate("document.documentElement.scrollWidth") <= 380, path
    person.open("/")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert person.page.evaluate(ground) == "rgb(255, 255, 255)"
    person.page.evaluate("localStorage.setItem('theme', 'dark')")
    person.page.reload()
    assert person.page.evaluate(ground) != "rgb(255, 255, 255)"
    person.take_picture("page-narrow-dark")
