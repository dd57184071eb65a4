//! Ids of components and pipelines: `type` or `type/name`.
//!
//! Stage: engine. Rules and texts: Collector `component/identifiable.go` and `pipeline/pipeline.go` v1.67.0. One
//! difference: the standard library has no table of Unicode's symbol characters, so only those of Latin-1 are refused.

use std::fmt;

/// Characters of one name.
const NAME_MAX: usize = 1024;
/// Characters of one type.
const TYPE_MAX: usize = 63;
/// Unicode's categories Sm, Sc, Sk and So within Latin-1.
const SYMBOLS: &str = "$+<=>^`|~¢£¤¥¦¨©¬®¯°±´¸×÷";

/// A component id, or a pipeline id with the signal in the place of the type. Both parts are trimmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Id {
    /// The type, or the signal of a pipeline.
    pub(super) kind: String,
    /// What follows the slash; empty without one.
    pub(super) name: String,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if self.name.is_empty() { Ok(()) } else { write!(f, "/{}", self.name) }
    }
}

impl Id {
    /// Reads an id.
    ///
    /// # Errors
    ///
    /// The Collector's sentence.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (kind, name) = match text.split_once('/') {
            Some((kind, name)) => (kind.trim(), Some(name.trim())),
            None => (text.trim(), None),
        };
        if kind.is_empty() {
            return Err(match name {
                Some(_) => format!("in {text:?} id: the part before / should not be empty"),
                None => "id must not be empty".to_owned(),
            });
        }
        match name {
            Some("") => return Err(format!("in {text:?} id: the part after / should not be empty")),
            Some(name) if name.len() > NAME_MAX => {
                let found = name.len();
                return Err(format!(
                    "in {name:?} id: name {name:?} is longer than {NAME_MAX} characters ({found} characters)"
                ));
            }
            Some(name)
                if name.chars().any(|c| c.is_whitespace() || c.is_control() || SYMBOLS.contains(c)) =>
            {
                return Err(format!("in {name:?} id: invalid character(s) in name {name:?}"));
            }
            _ => {}
        }
        let type_fits = kind.len() <= TYPE_MAX
            && kind.starts_with(|c: char| c.is_ascii_alphabetic())
            && kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !type_fits {
            return Err(format!("in {text:?} id: invalid character(s) in type {kind:?}"));
        }
        Ok(Self { kind: kind.to_owned(), name: name.unwrap_or_default().to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::Id;

    #[track_caller]
    fn check(text: &str, expect: Result<&str, &str>) {
        let got = Id::parse(text).map(|id| id.to_string());
        assert_eq!(got, expect.map(str::to_owned).map_err(str::to_owned), "{text:?}");
    }

    // Scenario: ids with and without names, with blanks, and broken ones.
    // Guarantees: good ids are trimmed; bad ones get the Collector's sentence.
    #[test]
    fn ids_parse_as_in_the_collector() {
        check("otlp", Ok("otlp"));
        check(" otlp / internal ", Ok("otlp/internal"));
        check("otlp/a/b", Ok("otlp/a/b"));
        check("otlp/größe-2.1", Ok("otlp/größe-2.1"));
        check("", Err("id must not be empty"));
        check("/x", Err("in \"/x\" id: the part before / should not be empty"));
        check("otlp/", Err("in \"otlp/\" id: the part after / should not be empty"));
        check("ot-lp", Err("in \"ot-lp\" id: invalid character(s) in type \"ot-lp\""));
        check("1x", Err("in \"1x\" id: invalid character(s) in type \"1x\""));
        check("otlp/a b", Err("in \"a b\" id: invalid character(s) in name \"a b\""));
        check("otlp/a+b", Err("in \"a+b\" id: invalid character(s) in name \"a+b\""));
        let long = "x".repeat(64);
        check(&long, Err(&format!("in {long:?} id: invalid character(s) in type {long:?}")));
        let name = "n".repeat(1025);
        let message =
            format!("in {name:?} id: name {name:?} is longer than 1024 characters (1025 characters)");
        check(&format!("otlp/{name}"), Err(&message));
    }
}
