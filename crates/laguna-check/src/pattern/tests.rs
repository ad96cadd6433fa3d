//! What Python's `re.search` says, and that no pattern hangs.

use super::Pattern;

#[test]
fn patterns_mean_what_they_mean_in_python() {
    let cases: &[(&str, &str, bool)] = &[
        ("a$", "a\n", true),
        ("a$", "a\n\n", false),
        (r"a\Z", "a\n", false),
        ("(?m)a$", "a\nb", true),
        ("^(a|b$)", "b\n", true),
        ("a$|b", "a\n", true),
        (r"(a$)\n", "a\n", true),
        (r"^\w+$", "naïve_1²", true),
        (r"^\w+$", "a-b", false),
        (r"^\d+$", "٣", true),
        (r"(?a)^\d+$", "٣", false),
        (r"^\s$", "\u{1c}", true),
        (r"(?P<x>ab)(?P=x)", "abab", true),
        (r"(a)(b)\2\1", "abba", true),
        (r"^(?=.*\d)(?=.*[a-z]).{4,}$", "abc1", true),
        (r"^(?!foo)\w+$", "foobar", false),
        (r"(?<=\$)\d+", "cost $5", true),
        (r"[[a]", "[", true),
        ("[a&&b]", "&", true),
        ("[a-]", "-", true),
        ("[]a]", "]", true),
        ("a{,2}b", "aab", true),
        ("a{b", "a{b", true),
        ("{}", "{}", true),
        (r"\<b\>", "<b>", true),
        (r"(?i)straße", "STRAßE", true),
        (r"\u00e9\x41", "éA", true),
        (
            r"(?#note)a(?x: b  # comment
)c",
            "abc",
            true,
        ),
        (r"^(a)?(?(1)b|c)$", "ab", true),
        (r"(?>a+)b", "aaab", true),
        ("(?s)a.b", "a\nb", true),
        ("a.b", "a\nb", false),
        (r"^[^\W\d]+$", "abc", true),
    ];
    for (pattern, text, expected) in cases {
        let compiled = Pattern::compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error:?}"));
        assert_eq!(compiled.search().finds(text).unwrap(), *expected, "{pattern} on {text:?}");
    }
    for wrong in ["(", ")", "[a", r"\", "(?P<n", "a**", r"\q", "(?<=a+"] {
        assert!(Pattern::compile(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn hostile_patterns_end() {
    let text = format!("{}!", "a".repeat(40));
    assert!(!Pattern::compile("^(a+)+$").unwrap().search().finds(&text).unwrap());
    let slow = Pattern::compile(r"^(a+)+\1$").unwrap();
    let error = slow.search().finds(&text).unwrap_err();
    assert!(error.message().contains("steps"), "{error}");
    for large in ["((a{100}){100}){100}".to_string(), format!("(?={}b)", "(a{1000}){1000}")] {
        assert!(Pattern::compile(&large).is_err(), "{large}");
    }
    let _ = Pattern::compile(&"(".repeat(100_000));
    let _ = Pattern::compile(&format!("{}{}", "(?:".repeat(5_000), ")".repeat(5_000)));
}
