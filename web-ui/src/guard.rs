//! What holds for every request and every answer: who may ask from where, and what a browser may do with the answer.
//!
//! Invariants: a request that changes something comes from this page itself or from no browser at all; every answer
//! carries the same headers, also errors.

use crate::problem::Problem;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Sent with every answer (OWASP Secure Headers Project). Everything comes from the binary; nothing is inline.
const HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
];

/// Checks a request before anything looks at it, and dresses the answer.
pub(crate) async fn watch(request: Request, next: Next) -> Response {
    let mut response = match check(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => {
            tracing::warn!(method = %request.method(), path = request.uri().path(), "a request from another origin was refused");
            problem.into_response()
        }
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn check(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(host) = text(headers, &header::HOST).filter(|host| is_loopback_name(host)) else {
        // Another name that resolves to this machine would make a foreign page "same origin" (DNS rebinding).
        return Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "wrong_host",
            "this page is served under the machine's own loopback name only",
            "open it as http://127.0.0.1 or http://localhost with its port",
        ));
    };
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let site = text(headers, &HeaderName::from_static("sec-fetch-site"));
    let origin = text(headers, &header::ORIGIN);
    let foreign = site.is_some_and(|site| site != "same-origin")
        || origin.is_some_and(|origin| origin.strip_prefix("http://").or(origin.strip_prefix("https://")) != Some(host));
    if foreign {
        let error = "this request comes from another page";
        return Err(Problem::new(StatusCode::FORBIDDEN, "foreign_origin", error, "use the appliance's own page"));
    }
    Ok(())
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// True for `localhost` and loopback addresses, with or without a port.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(method: &Method, pairs: &[(&'static str, &'static str)]) -> Result<(), Problem> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        check(method, &headers)
    }

    #[test]
    fn only_this_page_or_no_browser_may_change_something() {
        let here = ("host", "127.0.0.1:8080");
        assert!(verdict(&Method::POST, &[here]).is_ok());
        assert!(verdict(&Method::POST, &[here, ("origin", "http://127.0.0.1:8080"), ("sec-fetch-site", "same-origin")]).is_ok());
        for foreign in [
            ("origin", "http://127.0.0.1:9090"),
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "none"),
        ] {
            assert!(verdict(&Method::POST, &[here, foreign]).is_err(), "{foreign:?}");
            assert!(verdict(&Method::DELETE, &[here, foreign]).is_err(), "{foreign:?}");
            assert!(verdict(&Method::GET, &[here, foreign]).is_ok(), "{foreign:?}");
        }
    }

    #[test]
    fn only_loopback_names_are_answered() {
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1:1", "127.9.9.9", "[::1]:8080"] {
            assert!(is_loopback_name(host), "{host}");
        }
        for host in ["evil.example:8080", "192.168.0.1", "localhost.evil.example", "[fe80::1]", "", "127.0.0.1.evil.example"] {
            assert!(!is_loopback_name(host), "{host}");
        }
        assert!(verdict(&Method::GET, &[]).is_err());
    }
}
