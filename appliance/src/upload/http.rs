//! One HTTP exchange with a backend, as plain data: everything a decision is made from, and nothing else.
//!
//! Invariants: the bearer token is sent only to the configured origin and appears in no text, log or error; redirects are not
//! followed; an answer is read up to a bound; every exchange ends within the time limit.

use std::fmt;
use std::time::Duration;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use ureq::http::{Request, Uri};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

/// Longest answer that is read, in bytes. What a backend says beyond that is not needed to decide.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Longest piece of a backend's words that is kept, in characters.
const WORDS_MAX: usize = 400;

/// A secret that gives access to a backend. Its `Debug` form shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Who the appliance is at a backend that asks for a certificate (mutual TLS). Its `Debug` form shows nothing of the key.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// Its certificate and those that lead to the authority, in PEM.
    pub certificates_pem: Vec<u8>,
    /// The key of that certificate, in PEM (PKCS #8, SEC 1 or PKCS #1).
    pub key_pem: Vec<u8>,
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientIdentity(…)")
    }
}

impl ClientIdentity {
    fn certificate(&self) -> Result<ClientCert, WireSettingsError> {
        let key = PrivateKey::from_pem(&self.key_pem).map_err(|_| WireSettingsError::Key)?;
        Ok(ClientCert::new_with_certs(&certificates(&self.certificates_pem)?, key))
    }
}

/// Settings from which no client can be made.
#[derive(Debug, thiserror::Error)]
pub enum WireSettingsError {
    /// The address is no http or https URL.
    #[error("backend address {0:?}: not an http:// or https:// address with a host")]
    Address(String),
    /// The token has characters that no header can carry.
    #[error("backend token: only visible ASCII characters can be sent")]
    Token,
    /// The client's key is not PEM.
    #[error("backend client key: no private key in PEM form found")]
    Key,
    /// The certificates are not PEM.
    #[error("backend certificates: no certificate in PEM form found")]
    Certificates,
}

/// No answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);

/// An answer of any status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lowercase.
    pub headers: Vec<(String, String)>,
    /// The body, at most 1 MiB of it.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first header of this name (lowercase).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim())
    }

    /// A header that is a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.header(name)?.parse().ok()
    }

    /// The type of the problem it tells of (RFC 7807); empty if it tells of none.
    #[must_use]
    pub fn problem(&self) -> String {
        let problem: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        problem.as_ref().and_then(|problem| problem.get("type")?.as_str()).unwrap_or_default().to_owned()
    }

    /// What the backend said, in one line: the problem's title and detail if it sent one (RFC 7807), else its text.
    #[must_use]
    pub fn words(&self) -> String {
        let problem: Option<serde_json::Value> = serde_json::from_slice(&self.body).ok();
        let said = problem.as_ref().map_or_else(|| String::from_utf8_lossy(&self.body).into_owned(), problem_words);
        if said.trim().is_empty() { format!("{}", self.status) } else { one_line(&format!("{} {said}", self.status)) }
    }
}

/// Title and detail of an RFC 7807 problem; the whole value if it is none.
#[must_use]
pub fn problem_words(problem: &serde_json::Value) -> String {
    let field = |name: &str| problem.get(name).and_then(serde_json::Value::as_str);
    match (field("title").or_else(|| field("type")), field("detail")) {
        (Some(title), Some(detail)) => format!("{title}: {detail}"),
        (Some(only), None) | (None, Some(only)) => only.to_owned(),
        (None, None) => problem.to_string(),
    }
}

/// Outside text, fit for a log line and a page: one line, printable, bounded.
#[must_use]
pub fn one_line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS_MAX).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The client of one backend.
pub struct Wire {
    agent: ureq::Agent,
    base: Uri,
    authorization: Option<HeaderValue>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wire({})", self.base)
    }
}

impl Wire {
    /// A client of the backend at `address` (for example `https://epcis.plant.local/v2`). `roots_pem` replaces the public
    /// certificate authorities by the plant's own; `client` is shown to a backend that asks for it. No proxy is used, whatever
    /// the environment says.
    pub fn new(
        address: &str,
        token: Option<&Token>,
        roots_pem: Option<&[u8]>,
        client: Option<&ClientIdentity>,
        time_limit: Duration,
    ) -> Result<Self, WireSettingsError> {
        let wrong = || WireSettingsError::Address(address.to_owned());
        let base: Uri = address.trim_end_matches('/').parse().map_err(|_| wrong())?;
        if !matches!(base.scheme_str(), Some("http" | "https")) || base.host().is_none_or(str::is_empty) || base.query().is_some() {
            return Err(wrong());
        }
        let authorization = token.map(bearer).transpose()?;
        let roots = roots_pem.map(certificates).transpose()?.map_or(RootCerts::WebPki, |own| RootCerts::new_with_certs(&own));
        let client = client.map(ClientIdentity::certificate).transpose()?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_global(Some(time_limit))
            .user_agent(concat!("jidoka/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(roots).client_cert(client).build())
            .build();
        Ok(Self { agent: config.new_agent(), base, authorization })
    }

    /// Where a `Location` answered to a request for `path` leads: always on this backend's own origin, because the token
    /// must not follow an answer elsewhere and because a backend behind a proxy may not know its own name.
    #[must_use]
    pub fn resolve(&self, path: &str, location: &str) -> String {
        let prefix = self.base.path().trim_end_matches('/');
        let absolute = location.parse::<Uri>().ok().filter(|uri| uri.scheme().is_some());
        if let Some(uri) = absolute {
            return uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        }
        if location.starts_with('/') {
            return location.to_owned();
        }
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        format!("{prefix}{parent}/{location}")
    }

    /// One exchange at `path` below the address.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Result<Reply, NoAnswer> {
        let prefix = self.base.path().trim_end_matches('/');
        self.send_to(method, &format!("{prefix}{path}"), headers, body)
    }

    /// One exchange at `target` (path and query) on the backend's origin.
    pub fn send_to(&self, method: &str, target: &str, headers: &[(&str, &str)], body: Option<&[u8]>) -> Result<Reply, NoAnswer> {
        let scheme = self.base.scheme_str().unwrap_or("http");
        let host = self.base.authority().map(ToString::to_string).unwrap_or_default();
        let mut request = Request::builder().method(method).uri(format!("{scheme}://{host}{target}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value.clone());
        }
        let answered = match body {
            Some(bytes) => {
                let request = request.header(CONTENT_TYPE, "application/json").body(bytes).map_err(unsendable)?;
                self.agent.run(request)
            }
            None => self.agent.run(request.body(()).map_err(unsendable)?),
        };
        read(answered.map_err(|error| NoAnswer(one_line(&error.to_string())))?)
    }
}

fn unsendable(error: ureq::http::Error) -> NoAnswer {
    NoAnswer(format!("the request cannot be sent: {error}"))
}

fn read(mut answered: ureq::http::Response<ureq::Body>) -> Result<Reply, NoAnswer> {
    let headers =
        answered.headers().iter().filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))).collect();
    let status = answered.status().as_u16();
    let body = answered.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
    Ok(Reply { status, headers, body: body.map_err(|error| NoAnswer(one_line(&format!("{status}, then: {error}"))))? })
}

fn bearer(token: &Token) -> Result<HeaderValue, WireSettingsError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.0)).map_err(|_| WireSettingsError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>, WireSettingsError> {
    let certificates: Vec<_> = parse_pem(pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() { Err(WireSettingsError::Certificates) } else { Ok(certificates) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(address: &str) -> Result<Wire, WireSettingsError> {
        Wire::new(address, Some(&Token("s3cret".to_owned())), None, None, Duration::from_secs(1))
    }

    #[test]
    fn a_location_never_leads_to_another_origin() {
        let wire = wire("https://plant.local/epcis/v2/").unwrap();
        assert_eq!(wire.resolve("/capture", "/epcis/v2/capture/7"), "/epcis/v2/capture/7");
        assert_eq!(wire.resolve("/capture", "https://elsewhere.example/capture/7?a=1"), "/capture/7?a=1");
        assert_eq!(wire.resolve("/capture", "capture/7"), "/epcis/v2/capture/7");
    }

    #[test]
    fn addresses_are_checked_and_the_token_is_never_shown() {
        for bad in ["", "plant.local", "ftp://plant.local", "http://", "http://h/?q=1", "http://a b"] {
            assert!(wire(bad).is_err(), "{bad}");
        }
        let token = Token("s3cret".to_owned());
        assert!(!format!("{token:?} {:?}", wire("http://h").unwrap()).contains("s3cret"));
        assert!(matches!(Wire::new("http://h", None, Some(b"no pem"), None, Duration::from_secs(1)), Err(WireSettingsError::Certificates)));
    }

    #[test]
    fn words_are_one_bounded_line() {
        let reply = |body: &str| Reply { status: 400, headers: Vec::new(), body: body.as_bytes().to_vec() };
        assert_eq!(reply(r#"{"title":"Bad","detail":"line 1\n line 2"}"#).words(), "400 Bad: line 1 line 2");
        assert_eq!(reply("").words(), "400");
        assert!(reply(&"x".repeat(5000)).words().len() <= WORDS_MAX + 4);
    }
}
