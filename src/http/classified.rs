//! The kinds of failures below HTTP.

use std::error::Error;

use super::{HttpError, HttpErrorKind, Url};

/// The kind and the description of a failure below HTTP.
pub(super) fn classified(url: &Url, error: &(dyn Error + 'static)) -> HttpError {
    let mut chain = vec![error];
    let mut source = error.source();
    while let Some(next) = source {
        chain.push(next);
        source = next.source();
    }
    let last = chain.last().map(ToString::to_string).unwrap_or_default();
    let is_connect = |error: &hyper_util::client::legacy::Error| error.is_connect();
    let connecting = chain.iter().any(|error| error.downcast_ref().is_some_and(is_connect));
    let is_tls = |error: &&(dyn Error + 'static)| is_tls(*error);
    let is_timeout = |error: &&(dyn Error + 'static)| {
        error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut)
    };
    let is_unknown_host = |error: &&(dyn Error + 'static)| error.to_string().contains("dns error");
    if chain.iter().any(is_tls) {
        return HttpError::new(url, HttpErrorKind::Tls, last);
    }
    if chain.iter().any(is_unknown_host) {
        return HttpError::new(url, HttpErrorKind::UnknownHost, format!("no such host: {last}"));
    }
    if connecting {
        let what =
            if chain.iter().any(is_timeout) { "no connection in time".to_owned() } else { last };
        return HttpError::new(url, HttpErrorKind::Unreachable, what);
    }
    let any = |is: fn(&hyper::Error) -> bool| {
        chain.iter().any(|error| error.downcast_ref().is_some_and(is))
    };
    let what = match last {
        _ if any(hyper::Error::is_incomplete_message) => "the connection ended early".to_owned(),
        last if any(hyper::Error::is_parse) => format!("the answer is not HTTP: {last}"),
        last => last,
    };
    HttpError::new(url, HttpErrorKind::Broken, what)
}

/// A connection that breaks after the head has cut the body short.
pub(super) fn within_body(error: HttpError) -> HttpError {
    match error.kind {
        HttpErrorKind::Broken => HttpError { kind: HttpErrorKind::CutShort, ..error },
        _ => error,
    }
}

/// Whether it is an error of TLS, maybe inside errors of I/O, which do not name it as their source.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let inside = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>() || inside.is_some_and(|inside| is_tls(inside))
}
