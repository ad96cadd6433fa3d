//! The words, numbers and signs of a text, as dateutil's lexer parts them.

/// Splits into words, numbers and signs, as dateutil's lexer does.
pub(super) fn tokens(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text.chars().filter(|c| *c != '\0').peekable();
    while let Some(first) = rest.next() {
        if first.is_whitespace() {
            found.push(" ".to_string());
            continue;
        }
        let mut token = first.to_string();
        let (mut word, mut dotted) = (first.is_alphabetic(), false);
        let mut letters = word;
        if !word && !first.is_numeric() {
            found.push(token);
            continue;
        }
        while let Some(&next) = rest.peek() {
            let goes_on = match (word, dotted) {
                (true, false) => {
                    letters = true;
                    if next == '.' {
                        dotted = true;
                        true
                    } else {
                        next.is_alphabetic()
                    }
                }
                (false, false) => {
                    if next == '.' || (next == ',' && token.chars().count() >= 2) {
                        dotted = true;
                        true
                    } else {
                        next.is_numeric()
                    }
                }
                (true, true) => {
                    letters = true;
                    if next.is_numeric() && token.ends_with('.') {
                        word = false;
                        true
                    } else {
                        next == '.' || next.is_alphabetic()
                    }
                }
                (false, true) => {
                    if next.is_alphabetic() && token.ends_with('.') {
                        word = true;
                        true
                    } else {
                        next == '.' || next.is_numeric()
                    }
                }
            };
            if !goes_on {
                break;
            }
            token.push(next);
            rest.next();
        }
        let split = dotted && (letters || token.matches('.').count() > 1 || token.ends_with(['.', ',']));
        if split {
            let mut part = String::new();
            for character in token.chars() {
                if character == '.' || character == ',' {
                    found.extend((!part.is_empty()).then(|| std::mem::take(&mut part)));
                    found.push(character.to_string());
                } else {
                    part.push(character);
                }
            }
            found.extend((!part.is_empty()).then_some(part));
        } else {
            let comma = dotted && !word && !token.contains('.');
            found.push(if comma { token.replace(',', ".") } else { token });
        }
    }
    found
}
