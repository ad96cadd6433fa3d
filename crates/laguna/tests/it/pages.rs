//! The pages of `laguna serve`, read and used in a real browser: at two widths, in light and dark, with users and without.

use crate::browser::{Browser, CONTROL, ENTER, TAB, http};
use crate::kit::Project;
use crate::serving::Serving;

/// Text that would run if a page believed it.
const WILD: &str = "<script>document.title='owned'</script>";

/// A project with orders of two cities, whose names, descriptions and values try to be markup.
fn shop() -> Project {
    let project = Project::empty();
    project.put("laguna.yml", b"name: shop\nlake: ./lake\n");
    shop_files(&project);
    project
}

fn shop_files(project: &Project) {
    project.put(
        "raw/orders.yml",
        format!("description: \"Orders as the till wrote them. {WILD}\"\nowner: till@example.org\ntags: [daily, \"<b>wild</b>\"]\nsource: {{files: 'orders/*.csv'}}\n").as_bytes(),
    );
    project.put("orders/1.csv", orders(1, 120).as_bytes());
    project.put(
        "sanitized/orders.sql",
        b"SELECT id, city, email, day, amount, note AS \"<script>x</script>\" FROM raw.orders WHERE amount > 0",
    );
    project.put(
        "sanitized/orders.yml",
        b"description: One row an order.\ncolumns:\n  amount: {description: Euros, tags: [money]}\nchecks:\n  - not_null: id\n  - {accepted_values: {column: email, value_set: [nobody@example.org]}, severity: warning}\n",
    );
    project.put(
        "enhanced/daily.sql",
        b"SELECT o.day, o.city, count(*) AS orders, sum(o.amount) AS revenue FROM sanitized.orders AS o GROUP BY o.day, o.city",
    );
    project.put(
        "enhanced/daily.yml",
        b"description: Revenue of each city, day by day.\nowner: sales@example.org\ntags: [daily]\nchecks: [{unique: [day, city]}]\n",
    );
    project.put(
        "enhanced/secrets.sql",
        b"SELECT id AS hidden_column, email AS hidden_email FROM sanitized.orders",
    );
    project.put(
        "enhanced/secrets.yml",
        b"description: Nothing for everybody.\nchecks: [{row_count: {max_value: 3}, severity: warning}]\n",
    );
}

fn orders(first: u32, last: u32) -> String {
    let row = |id: u32| {
        let city = if id.is_multiple_of(3) { "Gent" } else { "Lyon" };
        format!("{id},{city},person{id}@example.org,2026-03-{:02},{},{WILD}\n", id % 20 + 1, id * 2)
    };
    format!("id,city,email,day,amount,note\n{}", (first..=last).map(row).collect::<String>())
}

/// Two releases: a second day's orders came later.
fn two_releases() -> Project {
    let project = shop();
    project.ok(&["run"]);
    project.put("orders/2.csv", orders(121, 150).as_bytes());
    project.ok(&["run"]);
    project
}

#[test]
fn a_reader_finds_a_table_and_sees_what_it_holds_and_where_it_comes_from() {
    let Some(browser) = Browser::start() else { return };
    let project = two_releases();
    let serving = Serving::start(&project, &["http"]);
    for (width, dark) in [(1280, false), (390, true)] {
        browser.look(width, dark);
        let name = |page: &str| format!("{page}-{width}-{}", if dark { "dark" } else { "light" });
        browser.open(&serving.url("/"));
        assert!(browser.text("main").contains("Revenue of each city"));
        assert!(browser.text("#trouble").contains("sanitized.orders"), "its warning needs a look");
        browser.looks_well(&name("home"));

        // The key leads to the search box, the words to the table.
        browser.type_into("body", "/");
        browser.until("the search box has the focus", "return document.activeElement.id === 'find'");
        browser.type_into("#find", &format!("revenue{ENTER}"));
        browser.until(
            "results are there",
            "return location.pathname === '/search' && !!document.querySelector('.hits mark')",
        );
        browser.looks_well(&name("search"));
        browser.click(".hits a[href='/tables/enhanced/daily']");
        browser.until("the table's page is there", "return location.pathname === '/tables/enhanced/daily'");
        browser.settle();
        assert!(browser.text(".lead").contains("Revenue of each city"));
        assert!(browser.text("table.data").contains("2026-03-"));
        assert!(browser.has("table.columns svg.hist rect.bar"));
        assert!(browser.has("svg.strip a"));

        // A column leads to what it is made of, all the way.
        let revenue =
            "document.querySelector('.here .col title').closest('svg').querySelectorAll('.here .col')[3]";
        browser.script(&format!("{revenue}.focus()"));
        let marked = browser.script("return [...document.querySelectorAll('.col.on title')].map((one) => one.textContent).sort().join()");
        assert_eq!(marked, "amount,amount,revenue");
        if width > 500 {
            browser.point_at(".here .col:nth-of-type(2)");
            assert!(browser.has(".graph.following .flow.on"));
        }
        browser.looks_well(&name("table"));

        browser.open(&serving.url("/tables/sanitized/orders"));
        assert!(browser.text("table.columns").contains("<script>x</script>"), "a column's name is text");
        browser.looks_well(&name("wild"));
        browser.open(&serving.url("/tables/raw/orders"));
        assert!(browser.text("main").contains(WILD), "a description is text");
        assert!(browser.text("main").contains("orders/2.csv"));
        assert_ne!(browser.script("return document.title"), "owned");
        browser.looks_well(&name("raw"));

        browser.open(&serving.url("/runs"));
        browser.click("tbody tr:last-child a");
        browser.until("the run's page is there", "return !!document.querySelector('table.gantt')");
        assert!(browser.has("svg.graph .node.ok") && browser.has("svg.span rect.mark"));
        browser.looks_well(&name("run"));
        browser.open(&serving.url("/releases"));
        browser.click("tbody tr:first-child th a");
        browser.until("the release's page is there", "return location.pathname === '/releases/2'");
        assert!(browser.text("main").contains("enhanced.daily"));
        browser.looks_well(&name("release"));
        browser.open(&serving.url("/tables/enhanced/nothing"));
        assert!(browser.text("main").contains("there is no table `enhanced.nothing`"));
        browser.looks_well(&name("missing"));
    }
    // The reader's own choice is kept over pages.
    browser.look(1280, false);
    browser.open(&serving.url("/"));
    let paper = "return getComputedStyle(document.body).backgroundColor";
    let light = browser.script(paper);
    browser.click("[data-theme-toggle]");
    assert_ne!(browser.script(paper), light);
    browser.open(&serving.url("/runs"));
    assert_ne!(browser.script(paper), light);
    browser.looks_well("chosen-dark");
}

#[test]
fn a_statement_is_typed_run_drawn_shared_and_cancelled() {
    let Some(browser) = Browser::start() else { return };
    let project = two_releases();
    let serving = Serving::start(&project, &["http"]);
    for (width, dark) in [(1280, true), (390, false)] {
        let name = |page: &str| format!("{page}-{width}-{}", if dark { "dark" } else { "light" });
        browser.look(width, dark);
        browser.open(&serving.url("/sql"));
        browser.looks_well(&name("sql-empty"));
        browser.type_into("#sql", "SELECT city, sum(revenue) AS total FROM enhanced.da");
        browser.until("a name is offered", "return !document.getElementById('names').hidden");
        browser.type_into("#sql", TAB);
        assert!(
            browser
                .script("return document.getElementById('sql').value")
                .as_str()
                .unwrap()
                .ends_with("enhanced.daily")
        );
        browser.type_into("#sql", " GROUP BY city ORDER BY city");
        browser.type_into("#sql", &format!("{CONTROL}{ENTER}"));
        let now = browser.text("#table tbody");
        assert!(now.contains("Gent") && now.contains("Lyon"), "{now}");
        browser.looks_well(&name("sql-rows"));

        browser.click("[data-view=chart]");
        browser
            .until("two bars are drawn", "return document.querySelectorAll('#drawing rect.b').length === 2");
        browser.choose("#kind", "scatter");
        browser.until(
            "two points are drawn",
            "return document.querySelectorAll('#drawing circle').length === 2",
        );
        browser.choose("#kind", "bar");
        browser.looks_well(&name("sql-chart"));

        // The link opens the same: statement, chart, and later the state of the lake too.
        let link = browser.url();
        browser.open("about:blank");
        browser.open(&link);
        browser
            .until("two bars are drawn", "return document.querySelectorAll('#drawing rect.b').length === 2");
        browser.click("[data-view=rows]");
        assert_eq!(browser.text("#table tbody"), now);

        browser.choose("#state", "1");
        browser.click("#run");
        browser.until(
            "it is about release 1",
            "return document.getElementById('status').textContent.includes('release 1')",
        );
        let then = browser.text("#table tbody");
        assert_ne!(then, now);

        // The download holds the same, at the same release.
        browser.script(
            "URL.createObjectURL = (blob) => { blob.text().then((text) => { window.saved = text; }); return '#'; }; \
             HTMLAnchorElement.prototype.click = function () { window.savedAs = this.download; };",
        );
        browser.click("[data-download='text/csv']");
        browser.until("the file is there", "return !!window.saved && window.savedAs === 'result.csv'");
        let saved = browser.script("return window.saved");
        let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
        assert!(saved.as_str().unwrap().starts_with("city,total\nGent,"), "{saved}");
        assert_eq!(digits(saved.as_str().unwrap()), digits(&then));
        let link = browser.url();
        browser.open("about:blank");
        browser.open(&link);
        assert_eq!(browser.text("#table tbody"), then);
        browser.choose("#state", "time");
        browser.type_into("#time", &format!("2001-01-01{CONTROL}{ENTER}"));
        assert!(browser.text("#error").contains("nothing was released"));

        // An error marks its place.
        browser.open("about:blank");
        browser.open(&serving.url("/sql"));
        browser.type_into("#sql", &format!("SELECT city,\n  revenu FROM enhanced.daily{CONTROL}{ENTER}"));
        let error = browser.text("#error");
        assert!(
            error.contains("there is no column `revenu`") && error.contains("Line 2, column 3"),
            "{error}"
        );
        browser.click("#error button");
        let marked = "const sql = document.getElementById('sql'); return sql.value.slice(sql.selectionStart, sql.selectionEnd)";
        assert_eq!(browser.script(marked), "revenu");
        browser.looks_well(&name("sql-error"));

        // Long results come in pages; what takes too long is ended.
        browser.open("about:blank");
        browser.open(&serving.url("/sql"));
        browser
            .type_into("#sql", &format!("SELECT value AS n FROM generate_series(1, 5000){CONTROL}{ENTER}"));
        browser.until(
            "the first rows are told",
            "return document.getElementById('count').textContent.startsWith('1,000 first rows')",
        );
        browser.click("#next");
        assert!(browser.text("#page").starts_with("101 to 200"));
        browser.script("document.getElementById('sql').value = 'SELECT sum(value % 7) FROM generate_series(1, 1000000000000)'");
        browser.click("#run");
        browser.click("#cancel");
        browser
            .until("it is cancelled", "return document.getElementById('status').textContent === 'cancelled'");
        browser.until(
            "the server has ended it",
            "const ask = new XMLHttpRequest(); ask.open('GET', '/metrics', false); ask.send(); return /^laguna_statements_running 0$/m.test(ask.responseText)",
        );
        assert_eq!(browser.complaints(), Vec::<String>::new());
    }
}

#[test]
fn who_has_not_logged_in_is_asked_to_and_comes_back() {
    let Some(browser) = Browser::start() else { return };
    let project = shop();
    project.put(
        "laguna.yml",
        b"name: shop\nlake: ./lake\nusers:\n  ana: {role: admin, password: \"a secret of ana\", token: \"ana-token-1234\"}\n",
    );
    project.ok(&["run"]);
    let serving = Serving::start(&project, &["http"]);
    browser.look(390, false);
    browser.open(&serving.url("/tables/enhanced/daily"));
    assert!(browser.url().contains("/login?next=%2Ftables%2Fenhanced%2Fdaily"), "{}", browser.url());
    assert!(!browser.text("body").contains("shop"), "a stranger is told nothing");
    browser.looks_well("login");
    browser.type_into("#user", "ana");
    browser.type_into("#password", &format!("wrong{ENTER}"));
    assert!(browser.text("[role=alert]").contains("refused"));
    browser.type_into("#password", &format!("a secret of ana{ENTER}"));
    browser.until(
        "the page that was asked for is there",
        "return location.pathname === '/tables/enhanced/daily'",
    );
    browser.settle();
    assert!(browser.text("table.data").contains("Gent"));
    assert_eq!(browser.script("return document.cookie"), "", "no script can read the login");
    browser.looks_well("logged-in");
    browser.click(".tools form button");
    browser.until("the login page is there", "return location.pathname === '/login'");
    browser.open(&serving.url("/runs"));
    assert!(browser.url().contains("/login"), "{}", browser.url());
    browser.click("details summary");
    browser.type_into("#token", &format!("ana-token-1234{ENTER}"));
    browser.until("the runs are there", "return location.pathname === '/runs'");

    // Another site's form does nothing, and a login leads nowhere else.
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let login = |headers: &[(&str, &str)], next: &str| {
        let all: Vec<_> = form.iter().chain(headers).copied().collect();
        http(serving.address("http"), "POST", "/login", &all, &format!("token=ana-token-1234&next={next}"))
            .unwrap()
    };
    assert_eq!(login(&[("Origin", "http://evil.example")], "/").status, 403);
    let away = login(&[], "//evil.example");
    assert_eq!((away.status, away.header("location")), (303, "/"));
    let cookie = away.header("set-cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    // A script that has lost its login is told so, and gets no page.
    assert_eq!(serving.get("/tables/enhanced/daily/sample", &[("x-laguna-part", "1")]).status, 401);
    assert_eq!(serving.get("/runs", &[]).status, 303);
}

#[test]
fn pages_tell_nothing_of_what_a_role_may_not_read() {
    let project = shop();
    project.put(
        "laguna.yml",
        b"name: shop\nlake: ./lake\nroles:\n  analyst: {read: [enhanced.daily]}\n  clerk: {read: [sanitized, enhanced.daily], mask: {sanitized.orders: email}, rows: {sanitized.orders: \"city = 'Gent'\"}}\nusers:\n  ann: {role: analyst, token: \"token-of-ann\"}\n  cor: {role: clerk, token: \"token-of-cor\"}\n  adm: {role: admin, token: \"token-of-adm\"}\n",
    );
    project.ok(&["run"]);
    let run = project.rows("SELECT run FROM system.runs")[0]["run"].as_str().unwrap().to_string();
    let serving = Serving::start(&project, &["http"]);
    let page = |token: &str, path: &str| serving.get(path, &[("Authorization", &format!("Bearer {token}"))]);
    let mut paths: Vec<String> = [
        "/",
        "/search?q=orders",
        "/search?q=email",
        "/search?q=hidden",
        "/search?q=secrets",
        "/runs",
        "/releases",
        "/releases/1",
        "/sql",
        "/sql/names",
    ]
    .map(str::to_string)
    .to_vec();
    paths.push(format!("/runs/{run}"));
    for table in ["enhanced/daily", "sanitized/orders", "raw/orders", "enhanced/secrets", "system/runs"] {
        paths.extend(["", "/profile", "/sample", "/lineage"].map(|part| format!("/tables/{table}{part}")));
    }
    for path in &paths {
        let all = page("token-of-adm", path);
        assert_eq!(all.status, 200, "{path}\n{}", all.body);
        // The words of the reader's own question are not told by the lake.
        let told = |token: &str| page(token, path).body.replace("q=secrets", "");
        let ann = told("token-of-ann");
        for hidden in [
            "hidden_",
            "enhanced.secrets",
            "/secrets",
            "sanitized.orders",
            "raw.orders",
            "person",
            "till@",
            "nobody@",
            "Nothing for everybody",
        ] {
            // The error repeats the name that was asked for.
            let ann = ann
                .replace("there is no table `sanitized.orders`", "")
                .replace("there is no table `raw.orders`", "")
                .replace("there is no table `enhanced.secrets`", "");
            assert!(!ann.contains(hidden), "{path} tells {hidden} to ann:\n{ann}");
        }
        let cor = told("token-of-cor");
        for hidden in ["hidden_", "person3@", "person9@", "person1@", "nobody@", "Lyon", "till@"] {
            let own = path.starts_with("/tables/enhanced/daily");
            assert!(!cor.contains(hidden) || own && hidden == "Lyon", "{path} tells {hidden} to cor:\n{cor}");
        }
    }
    for path in [
        "/tables/raw/orders",
        "/tables/enhanced/secrets/sample",
        "/tables/sanitized/orders/lineage",
        "/tables/none/x",
        "/tables/enhanced/none",
    ] {
        assert_eq!(page("token-of-ann", path).status, 404, "{path}");
    }
    // What exists is told to who may read it, in the rules of his role.
    let sample = page("token-of-cor", "/tables/sanitized/orders/sample").body;
    assert!(sample.contains("Gent") && sample.contains("null"), "{sample}");
    assert!(page("token-of-cor", "/tables/sanitized/orders").body.contains("through the rules of your role"));
    let profile = page("token-of-cor", "/tables/sanitized/orders/profile").body;
    assert!(profile.contains("Profile of 40 rows") && profile.contains("all null"), "{profile}");
    assert!(page("token-of-ann", "/tables/enhanced/daily").body.contains("Revenue of each city"));
    // The desk answers the editor as it answers every door.
    let ask = |token: &str, sql: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        http(
            serving.address("http"),
            "POST",
            "/sql/run",
            &headers,
            &serde_json::json!({"sql": sql}).to_string(),
        )
        .unwrap()
    };
    assert_eq!(ask("token-of-ann", "SELECT * FROM enhanced.secrets").status, 400);
    assert!(
        ask("token-of-cor", "SELECT count(*), count(email) FROM sanitized.orders")
            .body
            .contains("[[\"40\",\"0\"]]")
    );
}

#[test]
fn pages_forbid_foreign_scripts_and_their_files_are_kept_by_browsers() {
    let project = shop();
    let serving = Serving::start(&project, &["http"]);
    // A project that has not run says what to do.
    let home = serving.get("/", &[]);
    assert_eq!(home.status, 200, "{}", home.body);
    assert!(home.body.contains("laguna run") && home.body.contains("not built"), "{}", home.body);
    let table = serving.get("/tables/enhanced/daily", &[]);
    assert!(table.body.contains("Not built yet"), "{}", table.body);
    assert!(serving.get("/releases", &[]).body.contains("Nothing has been released yet"));
    project.ok(&["run"]);

    for path in [
        "/",
        "/tables/raw/orders",
        "/tables/sanitized/orders",
        "/tables/sanitized/orders/sample",
        "/tables/sanitized/orders/profile",
        "/tables/sanitized/orders/lineage",
        "/search?q=%3Cscript%3Ealert(1)%3C/script%3E",
        "/sql?sql=%3C/textarea%3E%3Cscript%3Ealert(1)%3C/script%3E",
        "/runs/%3Cscript%3E",
        "/releases/%3Cscript%3E",
    ] {
        let page = serving.get(path, &[]);
        assert!(page.header("content-security-policy").starts_with("default-src 'self'"), "{path}");
        assert!(page.header("content-type").starts_with("text/html"), "{path}");
        for markup in ["<script>", "<b>wild", "style=", "onclick"] {
            assert!(!page.body.contains(markup), "{path} holds {markup}\n{}", page.body);
        }
    }
    let home = serving.get("/", &[]).body;
    let (_, rest) = home.split_once("href=\"/static/").unwrap();
    let file = format!("/static/{}", rest.split_once('"').unwrap().0);
    let answer = serving.get(&file, &[]);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
    let again = serving.get(&file, &[("If-None-Match", answer.header("etag"))]);
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    assert_eq!(serving.get("/static/000000000000-laguna.css", &[]).status, 404);
    assert_eq!(serving.get("/static/..%2FCargo.toml", &[]).status, 404);
}
