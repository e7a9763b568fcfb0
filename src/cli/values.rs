//! Option values shared by several commands.

use osier::gvariant::{Value, text};

use super::error::Failure;

/// Parses the `POLICY` of `--fsync`: whether to sync. For use as the option's `value_parser`.
pub(super) fn fsync_policy(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" | "none" => Ok(false),
        _ => Err(format!("Invalid boolean argument '{text}'")),
    }
}

/// Splits `KEY=VALUE` at the first `=`.
pub(super) fn key_value(text: &str) -> Result<(&str, &str), Failure> {
    match text.split_once('=') {
        None => Err(Failure::failed(format!("Missing '=' in KEY=VALUE metadata '{text}'"))),
        Some(("", _)) => Err(Failure::failed("Empty metadata key")),
        Some(pair) => Ok(pair),
    }
}

/// Parses `KEY=VALUE` with a VALUE in GVariant's text format.
pub(super) fn key_variant(argument: &str) -> Result<(&str, Value), Failure> {
    let (key, value) = key_value(argument)?;
    let value = text::parse(None, value)
        .map_err(|error| Failure::failed(format!("Parsing {argument}: {error}")))?;
    Ok((key, value))
}

/// Parses the variable `SOURCE_DATE_EPOCH` as C's `strtoll` does: blanks and a sign before the
/// digits, anything after.
pub(super) fn source_date_epoch(text: &str) -> Result<i64, Failure> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']);
    let digits_start = usize::from(text.starts_with(['-', '+']));
    let digits = text[digits_start..].bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Err(Failure::failed("Failed to convert SOURCE_DATE_EPOCH"));
    }
    let number = text[..digits_start + digits].parse();
    number.map_err(|_| Failure::failed("Parsing SOURCE_DATE_EPOCH: Numerical result out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message<T>(result: Result<T, Failure>) -> String {
        match result {
            Err(Failure::Error(error)) => error.chain(),
            _ => "no error".to_owned(),
        }
    }

    #[test]
    fn the_fsync_policy_is_a_boolean_in_any_case() {
        for (text, expected) in [
            ("YES", true),
            ("1", true),
            ("True", true),
            ("None", false),
            ("no", false),
            ("0", false),
        ] {
            assert_eq!(fsync_policy(text), Ok(expected), "{text}");
        }
        assert_eq!(fsync_policy("on"), Err("Invalid boolean argument 'on'".to_owned()));
        assert_eq!(fsync_policy(""), Err("Invalid boolean argument ''".to_owned()));
    }

    #[test]
    fn metadata_is_split_at_the_first_equals_sign() {
        assert_eq!(key_value("a=b=c").ok(), Some(("a", "b=c")));
        assert_eq!(key_value("a=").ok(), Some(("a", "")));
        assert_eq!(message(key_value("a")), "Missing '=' in KEY=VALUE metadata 'a'");
        assert_eq!(message(key_value("=a")), "Empty metadata key");
    }

    #[test]
    fn source_date_epoch_is_read_as_c_reads_numbers() {
        for (text, expected) in [("12", 12), (" -5", -5), ("+7x", 7)] {
            assert_eq!(source_date_epoch(text).ok(), Some(expected), "{text}");
        }
        for text in ["", "x", "-", "- 1"] {
            assert_eq!(
                message(source_date_epoch(text)),
                "Failed to convert SOURCE_DATE_EPOCH",
                "{text}"
            );
        }
        let too_large = "99999999999999999999";
        assert_eq!(
            message(source_date_epoch(too_large)),
            "Parsing SOURCE_DATE_EPOCH: Numerical result out of range"
        );
    }
}
