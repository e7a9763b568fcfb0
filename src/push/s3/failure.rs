//! What a store says when it refuses something, in one line and without anything secret.

use std::error::Error as StdError;

use crate::error::Error;
use crate::input::quotable;

/// The error for a file of a destination.
pub(super) fn failed(place: &str, name: &str, error: &object_store::Error) -> Error {
    let what = if name.is_empty() { place.to_owned() } else { format!("{place}/{name}") };
    Error::failed(format!("{what}: {}", reason(error)))
}

fn reason(error: &object_store::Error) -> String {
    use object_store::Error as E;
    let full = error.to_string();
    // The rest of such an answer repeats the request, with the key that signed it.
    if let (Some(code), message) = (element(&full, "Code"), element(&full, "Message")) {
        let message = message.map(|message| format!(": {}", shortened(message)));
        let message = message.unwrap_or_default();
        return match hint(code) {
            Some(hint) => format!("{}{message} ({hint})", quotable(code)),
            None => format!("{}{message}", quotable(code)),
        };
    }
    match error {
        E::NotFound { .. } => "not found".to_owned(),
        E::PermissionDenied { .. } => "permission denied".to_owned(),
        E::Unauthenticated { .. } => "the credentials are not accepted".to_owned(),
        _ => innermost(error),
    }
}

/// The first sentence of a message; those that follow may repeat the request.
fn shortened(message: &str) -> String {
    quotable(message.split(". ").next().unwrap_or_default())
}

/// What helps.
fn hint(code: &str) -> Option<&'static str> {
    match code {
        "RequestTimeTooSkewed" => Some("the clock of this machine is wrong"),
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" => Some("the credentials are wrong"),
        "AccessDenied" => Some("the credentials lack the right, see docs/push.md"),
        "NoSuchBucket" => Some("push does not make buckets"),
        _ => None,
    }
}

/// The text of an XML element, as far as a message needs that.
fn element<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(content, _)| content)
}

/// The last cause says what has happened; those before it say where, with times and URLs.
fn innermost(error: &object_store::Error) -> String {
    let mut cause: &dyn StdError = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let text = cause.to_string();
    quotable(text.split(" (os error ").next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_a_store_is_cut_down_to_what_it_means() {
        let answer = "Error performing PUT: 403: <Error><Code>SignatureDoesNotMatch</Code>\
            <Message>It does not match.</Message><AWSAccessKeyId>AKIASECRET</AWSAccessKeyId></Error>";
        let error =
            object_store::Error::PermissionDenied { path: "x".into(), source: answer.into() };
        assert_eq!(
            failed("s3://bucket", "config", &error).chain(),
            "s3://bucket/config: SignatureDoesNotMatch: It does not match. (the credentials are wrong)"
        );
        let error =
            object_store::Error::PermissionDenied { path: "x".into(), source: "403".into() };
        assert_eq!(failed("s3://bucket", "", &error).chain(), "s3://bucket: permission denied");
    }
}
