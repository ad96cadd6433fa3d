//! Cases as text: a statement, `----`, and what it answers (or `error:` and its message), from `tests/cases/*.slt`.
//!
//! `LAGUNA_COMPLETE_CASES=1` writes the answers into the files; read the difference before it is committed.

use std::fmt::Write;

use laguna_query::Session;

async fn answer(session: &Session, sql: &str) -> String {
    let failed = |error: laguna_base::Error| {
        let mut text = format!("error: {error}");
        if let Some(hint) = error.hint_text() {
            let _ = write!(text, "\nhint: {hint}");
        }
        text
    };
    let result = match session.execute(sql).await {
        Ok(result) => result,
        Err(error) => return failed(error),
    };
    let mut out = Vec::new();
    match laguna_query::output::write(
        result.stream,
        laguna_query::output::Format::Csv,
        &mut out,
        &Default::default(),
    )
    .await
    {
        Ok(_) => String::from_utf8(out).unwrap().trim_end().to_string(),
        Err(error) => failed(error),
    }
}

#[tokio::test]
async fn every_case_answers_as_written() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let complete = std::env::var_os("LAGUNA_COMPLETE_CASES").is_some();
    let mut wrong = String::new();
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut completed = Vec::new();
        for case in text.trim_end().split("\n\n") {
            let (sql, expected) = case.split_once("\n----").unwrap_or((case, ""));
            let found = answer(&super::session(), sql).await;
            completed.push(format!("{sql}\n----\n{found}"));
            count += 1;
            if found != expected.trim_start_matches('\n') {
                let _ =
                    writeln!(wrong, "{}: {sql}\nexpected:\n{expected}\nfound:\n{found}\n", path.display());
            }
        }
        if complete {
            std::fs::write(&path, completed.join("\n\n") + "\n").unwrap();
        }
    }
    assert!(count > 0, "there are no cases");
    assert!(complete || wrong.is_empty(), "{wrong}");
}
