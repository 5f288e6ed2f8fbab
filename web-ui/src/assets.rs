//! The page's own files, all of them in the binary: nothing comes from outside.

use crate::problem::Problem;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use station::units::Digest;
use std::sync::LazyLock;

struct Asset {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! assets {
    ($($path:literal: $kind:ident),* $(,)?) => {
        &[$(Asset { path: concat!("/", $path), kind: $kind, bytes: include_bytes!(concat!("../frontend/", $path)) }),*]
    };
}

/// The whole page.
const ASSETS: &[Asset] = assets![
    "index.html": HTML,
    "icon.svg": SVG,
    "style/base.css": CSS,
    "style/line.css": CSS,
    "style/stop.css": CSS,
    "main.js": SCRIPT,
    "api.js": SCRIPT,
    "dom.js": SCRIPT,
    "format.js": SCRIPT,
    "live.js": SCRIPT,
    "preferences.js": SCRIPT,
    "words/index.js": SCRIPT,
    "words/en.js": SCRIPT,
    "words/problem.js": SCRIPT,
    "words/zh.js": SCRIPT,
    "parts/bar.js": SCRIPT,
    "parts/chart.js": SCRIPT,
    "parts/charts.js": SCRIPT,
    "parts/counters.js": SCRIPT,
    "parts/dialog.js": SCRIPT,
    "parts/frame.js": SCRIPT,
    "parts/health.js": SCRIPT,
    "parts/linestop.js": SCRIPT,
    "parts/permit.js": SCRIPT,
    "parts/piece.js": SCRIPT,
    "parts/readings.js": SCRIPT,
    "parts/shapes.js": SCRIPT,
    "parts/stopbutton.js": SCRIPT,
    "parts/strip.js": SCRIPT,
    "views/door.js": SCRIPT,
    "views/line.js": SCRIPT,
    "views/stop.js": SCRIPT,
];

/// Changes with any file, so that a browser never mixes two versions of the page.
static TAG: LazyLock<String> = LazyLock::new(|| {
    let parts: Vec<&[u8]> = ASSETS.iter().flat_map(|asset| [asset.path.as_bytes(), asset.bytes]).collect();
    format!("\"{}\"", Digest::of_parts(&parts))
});

/// Everything that is not the API.
pub(crate) async fn asset(uri: Uri, headers: HeaderMap) -> Response {
    let path = if uri.path() == "/" { "/index.html" } else { uri.path() };
    let Some(asset) = ASSETS.iter().find(|asset| asset.path == path) else {
        return Problem::not_found("such page").into_response();
    };
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|have| have.as_bytes() == TAG.as_bytes());
    let mut response = if known { StatusCode::NOT_MODIFIED.into_response() } else { asset.bytes.into_response() };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&TAG) {
        headers.insert(header::ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn every_file_of_the_page_is_in_the_binary_and_none_reaches_outside() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("frontend");
        let mut folders = vec![root.clone()];
        let mut on_disk = BTreeSet::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    on_disk.insert(format!("/{}", path.strip_prefix(&root).unwrap().display()));
                }
            }
        }
        let embedded: BTreeSet<String> = ASSETS.iter().map(|asset| asset.path.to_owned()).collect();
        assert_eq!(embedded, on_disk);
        for asset in ASSETS {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("http://") && !text.contains("https://"), "{} names an outside address", asset.path);
            assert!(!text.contains("innerHTML"), "{} writes HTML from text", asset.path);
        }
    }

    fn words(path: &str) -> std::collections::BTreeMap<String, String> {
        let asset = ASSETS.iter().find(|asset| asset.path == path).unwrap();
        let text = std::str::from_utf8(asset.bytes).unwrap();
        let text = text.trim().strip_prefix("export default ").unwrap().strip_suffix(';').unwrap();
        serde_json::from_str(text).unwrap()
    }

    fn places(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect()
    }

    #[test]
    fn both_languages_say_everything() {
        let (english, chinese) = (words("/words/en.js"), words("/words/zh.js"));
        assert_eq!(english.keys().collect::<Vec<_>>(), chinese.keys().collect::<Vec<_>>());
        for (key, text) in &english {
            assert!(!text.trim().is_empty() && !chinese[key].trim().is_empty(), "{key} is empty");
            assert_eq!(places(text), places(&chinese[key]), "{key} has other places");
        }
        for reason in station::policy::StopReason::ALL {
            assert!(english.contains_key(&format!("reason.{reason}")), "{reason} has no words");
        }
    }

    #[test]
    fn every_word_the_page_asks_for_is_there() {
        let english = words("/words/en.js");
        for asset in ASSETS.iter().filter(|asset| asset.kind == SCRIPT) {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            for call in text.split("t(\"").skip(1) {
                let key = call.split('"').next().unwrap();
                let is_call = key.chars().all(|letter| letter.is_ascii_alphanumeric() || ".".contains(letter)) && key.contains('.');
                assert!(!is_call || english.contains_key(key), "{} asks for `{key}`", asset.path);
            }
        }
    }
}
