//! From the file to types that cannot be wrong: ranges, forms, and what two keys say about each other.
//!
//! Every reader asks for all of its keys before it gives up on one of them, so that all problems are told.

mod camera;
mod frame_set;
mod images;
pub(super) mod looks;
pub(super) mod payload;
mod plan;
mod plc;
mod server;
mod tags;
mod writes;

use super::problem::{Problem, Problems};
use super::raw::{Section, Sheet, nearest};
use super::{
    BackendName, BackendSettings, GaugeSettings, Language, LogLevel, ModelSettings, Origin, PageSettings, PanelSettings, Realtime,
    RecipeSettings, Settings, ThresholdSource,
};
use station::recipe::DefectClass;
use station::record::Identity;
use station::units::Micros;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tags::KnownTag;
use vision_models::package::PublicKey;

/// Checks a whole file.
pub(super) fn settings(file: &str, text: &str, folder: &Path) -> Result<Settings, Problems> {
    let (sheet, table) = Sheet::read(file, text);
    let settings = read(&sheet.root(&table), folder);
    let places = sheet.finish()?;
    let origin = Origin { file: file.to_owned(), places };
    // A reader that gives up without telling a problem would be a fault of this module, not of the file.
    settings.map(|settings| Settings { origin: origin.clone(), ..settings }).ok_or_else(|| {
        let what = "was refused without a reason".to_owned();
        Problems::one(Problem { file: origin.file, line: None, key: String::new(), what, mend: "report this as a bug".to_owned() })
    })
}

/// A shift.
const SIGN_INTERVAL_HOURS: u64 = 8;

fn read(root: &Section<'_>, folder: &Path) -> Option<Settings> {
    let identity = identity(&root.section("station"));
    let data = root.section("data");
    let data_directory = path(&data, "directory", "the folder for ledger, pictures and journal", folder);
    let sign_interval_hours = data.whole_or("sign_interval_hours", 1..=168_u64, SIGN_INTERVAL_HOURS);
    let model = model(&root.section("model"), folder);
    let recipe_section = root.section("recipe");
    let recipe = recipe(&recipe_section);
    let cameras = frame_set::cameras(root, folder, recipe.as_ref().map(|(_, _, deadline)| *deadline));
    let rubric = plan::rubric(&root.section("rubric"), folder);
    let (modbus, mut tags) = plc::settings(root);
    let gauge =
        root.optional_section("gauge").map_or(Some(None), |section| gauge(&section, folder, tags.as_mut(), cameras.as_ref()).map(Some));
    let payload = payload::settings(&recipe_section, tags.as_deref());
    let characteristics = plan::characteristics(root, tags.as_deref());
    let stop_policy = plan::stop_policy(&root.section("stop_policy"));
    let page_section = root.section("page");
    let page = page(&page_section, folder);
    let backends = backends(root, folder);
    let images = images::settings(&root.section("images"));
    let log_level = root.optional_section("log").map_or(Some(LogLevel::Info), |section| log_level(&section));
    let realtime = root.optional_section("realtime").map_or(Some(None), |section| realtime(&section).map(Some));
    let panel = root.optional_section("panel").map_or(Some(None), |section| panel(&section, folder).map(Some));

    if let (Some(page), Some(modbus)) = (&page, &modbus) {
        for (port, whose) in plc::local_ports(modbus).into_iter().filter(|(port, _)| *port == page.listen.port() && *port != 0) {
            page_section.wrong("listen", format!("port {port} is {whose}"), "give the page a port of its own");
        }
    }

    if let (Some(payload), Some(plc)) = (&payload, modbus.as_ref().and_then(|modbus| modbus.plc.as_ref())) {
        payload::may_be_written(&recipe_section, payload, plc);
    }

    if let (Some((_, Some(document))), Some(tags)) = (&rubric, &tags)
        && let Err(problems) = document.reads(&tags.iter().map(|tag| &*tag.name).collect::<Vec<_>>())
    {
        root.adopt(&problems);
    }
    let modbus = modbus?;
    let (name, product, verdict_deadline) = recipe?;
    let (rubric, rubric_document) = rubric?;
    let frame_set::Cameras { first, others, frame_set } = cameras?;
    Some(Settings {
        identity: identity?,
        data_directory: data_directory?,
        sign_interval_hours: sign_interval_hours?,
        camera: first,
        more_cameras: others,
        frame_set,
        model: model?,
        gauge: gauge?,
        recipe: RecipeSettings { name, product, verdict_deadline, rubric, payload: payload? },
        plc: modbus.plc,
        modbus_server: modbus.server,
        handshake: modbus.handshake,
        sources: modbus.sources,
        characteristics: characteristics?,
        stop_policy: stop_policy?,
        page: page?,
        backends: backends?,
        images: images?,
        log_level: log_level?,
        panel: panel?,
        realtime: realtime?,
        rubric_document,
        origin: Origin::default(),
    })
}

fn identity(section: &Section<'_>) -> Option<Identity> {
    let line = section.text("line", "the name of the line");
    let station = section.text("station", "the name of this station");
    let sgln = section.text_or_empty("sgln", "the GS1 SGLN of the read point, `urn:epc:id:sgln:PREFIX.LOCATION.EXTENSION`, or \"\"");
    let sgtin_base = section.text_or_empty("sgtin_base", "the GS1 product, `urn:epc:id:sgtin:PREFIX.ITEM`, or \"\"");
    if sgln.is_some_and(|sgln| !(sgln.is_empty() || sgln.starts_with("https://") || is_sgln(sgln))) {
        section.wrong(
            "sgln",
            "this is not a GS1 SGLN",
            "write urn:epc:id:sgln:PREFIX.LOCATION.EXTENSION with 12 digits in PREFIX and LOCATION together, a Digital Link, or \"\"",
        );
    }
    if sgtin_base.is_some_and(|base| !(base.is_empty() || is_sgtin_base(base))) {
        section.wrong(
            "sgtin_base",
            "this is not a GS1 company prefix and item reference",
            "write urn:epc:id:sgtin:PREFIX.ITEM with 13 digits in PREFIX and ITEM together, or \"\"",
        );
    }
    Some(Identity { line: line?.to_owned(), station: station?.to_owned(), sgln: sgln?.to_owned(), sgtin_base: sgtin_base?.to_owned() })
}

/// Company prefix of 6 to 12 digits and what follows it, `digits` digits together (GS1 EPC Tag Data Standard, clauses 6.3.1 and 6.3.3).
fn is_prefix_and_reference(prefix: &str, reference: &str, digits: usize) -> bool {
    let numeric = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    numeric(prefix) && numeric(reference) && (6..=12).contains(&prefix.len()) && prefix.len() + reference.len() == digits
}

fn is_sgln(text: &str) -> bool {
    let parts: Vec<&str> = text.strip_prefix("urn:epc:id:sgln:").unwrap_or_default().splitn(3, '.').collect();
    let [prefix, location, extension] = parts[..] else { return false };
    is_prefix_and_reference(prefix, location, 12) && !extension.is_empty() && !extension.contains(char::is_whitespace)
}

fn is_sgtin_base(text: &str) -> bool {
    let base = text.strip_prefix("urn:epc:id:sgtin:").unwrap_or_default();
    base.split_once('.').is_some_and(|(prefix, item)| is_prefix_and_reference(prefix, item, 13))
}

/// A path, relative ones taken from `folder`.
fn path(section: &Section<'_>, key: &'static str, form: &str, folder: &Path) -> Option<PathBuf> {
    section.text(key, form).map(|path| folder.join(path))
}

fn model(section: &Section<'_>, folder: &Path) -> Option<ModelSettings> {
    let package = path(section, "package", "the folder of the model package", folder);
    let onnxruntime = section.optional_text("onnxruntime", "the path of libonnxruntime.so");
    let variant = section.optional_text("variant", "the name of a variant of the package, or \"fastest\"");
    let trusted_keys = section.texts("trusted_keys", "public keys, 64 hexadecimal digits each", |text| {
        text.parse::<PublicKey>().map_err(|error| error.to_string())
    });
    let threshold_source =
        section.choice("threshold_source", &[("package", ThresholdSource::Package), ("settings", ThresholdSource::Settings)]);
    // 0 would make a defect of everything that the model sees, so it is refused like any other slip.
    let thresholds = section.free_numbers("threshold", 0.001..=1.0);
    if threshold_source == Some(ThresholdSource::Settings) && !section.has("threshold") {
        section.wrong("threshold", "missing", "add [model.threshold] with a number for every class of the package");
    }
    Some(ModelSettings {
        package: package?,
        onnxruntime: onnxruntime?.map(|path| folder.join(path)),
        variant: variant?.map(str::to_owned),
        trusted_keys: trusted_keys?,
        threshold_source: threshold_source?,
        thresholds: thresholds?,
    })
}

/// Reads the plan too: its sizes are tags like any other.
fn gauge(
    section: &Section<'_>,
    folder: &Path,
    tags: Option<&mut Vec<KnownTag>>,
    cameras: Option<&frame_set::Cameras>,
) -> Option<GaugeSettings> {
    let camera = gauge_camera(section, cameras);
    let plan = path(section, "plan", "the file of the gauge plan", folder)?;
    let gauge = match crate::gauges::read(&plan) {
        Ok(gauge) => gauge,
        Err(error) => {
            section.wrong(
                "plan",
                crate::pipeline::see::chain(&error),
                "docs/gauge.md has every key of a plan; `jidoka gauge measure` tries it",
            );
            return None;
        }
    };
    for measure in &gauge.plan().measure {
        if tags.as_deref().is_some_and(|tags| tags.iter().any(|tag| tag.name == measure.name)) {
            section.wrong("plan", format!("the plan measures {}, and a tag has that name", measure.name), "give one of them another name");
        }
    }
    let measured = gauge.plan().measure.iter();
    let measured = measured.map(|measure| KnownTag { name: Arc::clone(&measure.name), unit: Some(measure.unit().into()), is_number: true });
    if let Some(tags) = tags {
        tags.extend(measured);
    }
    Some(GaugeSettings { plan, camera: camera? })
}

/// The camera whose pictures are measured; where there is one, it need not be named.
fn gauge_camera(section: &Section<'_>, cameras: Option<&frame_set::Cameras>) -> Option<String> {
    let form = "the name of the camera whose pictures are measured";
    let named = section.optional_text("camera", form)?;
    let cameras = cameras?;
    let names: Vec<&str> = std::iter::once(&cameras.first).chain(&cameras.others).map(|camera| camera.name.as_str()).collect();
    match named {
        None if names.len() > 1 => {
            section.misses("camera", format!("add `camera = …`, {form}: one of {}", names.join(", ")));
            None
        }
        Some(named) if !names.contains(&named) => {
            let mend =
                nearest(named, &names).map_or(format!("name one of {}", names.join(", ")), |meant| format!("did you mean `{meant}`?"));
            section.wrong("camera", format!("there is no camera named {}", named.escape_debug()), mend);
            None
        }
        named => Some(named.unwrap_or(&cameras.first.name).to_owned()),
    }
}

/// The classes of the package with the thresholds that are in force, in the package's order.
pub(super) fn classes(
    settings: &ModelSettings,
    origin: &Origin,
    package: &str,
    classes: &[DefectClass],
) -> Result<Vec<DefectClass>, Problems> {
    let names: Vec<&str> = classes.iter().map(|class| class.name.as_str()).collect();
    let mut problems = Vec::new();
    let mut tell = |key: String, what: String, mend: String| {
        let line = origin.places.get(&key).or_else(|| origin.places.get("model.threshold_source")).copied();
        problems.push(Problem { file: origin.file.clone(), line, key, what, mend });
    };
    for name in settings.thresholds.keys().filter(|name| !names.contains(&name.as_str())) {
        let mend = match nearest(name, &names) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("remove it; the package has {}", names.join(", ")),
        };
        tell(format!("model.threshold.{}", name.escape_debug()), format!("the model package {package} has no such class"), mend);
    }
    let mut in_force = Vec::with_capacity(classes.len());
    for class in classes {
        let threshold = match (settings.thresholds.get(&class.name), settings.threshold_source) {
            (Some(threshold), _) => narrow(*threshold),
            (None, ThresholdSource::Package) => class.threshold,
            (None, ThresholdSource::Settings) => {
                let what = format!("missing, while model.threshold_source is \"settings\" and {package} has this class");
                tell(format!("model.threshold.{}", class.name), what, "add its threshold to [model.threshold]".to_owned());
                continue;
            }
        };
        in_force.push(DefectClass { name: class.name.clone(), threshold });
    }
    Problems::found(problems).map_or(Ok(in_force), Err)
}

/// Scores are `f32`; a threshold is a short decimal, whose nearest `f32` is what is meant.
#[expect(clippy::cast_possible_truncation, reason = "rounding a number from 0 to 1 to the nearest f32 is the purpose")]
pub(super) const fn narrow(threshold: f64) -> f32 {
    threshold as f32
}

fn recipe(section: &Section<'_>) -> Option<(String, String, Micros)> {
    let name = section.text("name", "the name of the recipe");
    let product = section.text("product", "the product it is for");
    let deadline = section.whole("verdict_deadline_millis", 1..=60_000_u64);
    Some((name?.to_owned(), product?.to_owned(), Micros::from_millis(deadline?)))
}

fn realtime(section: &Section<'_>) -> Option<Realtime> {
    let priority = section.whole("priority", 1..=90_u8);
    let lock_memory = section.flag("lock_memory");
    Some(Realtime { priority: priority?, lock_memory: lock_memory? })
}

fn page(section: &Section<'_>, folder: &Path) -> Option<PageSettings> {
    let form = "an address and a port on loopback, for example \"127.0.0.1:8080\"";
    let listen = section.text("listen", form).and_then(|text| match text.parse::<SocketAddr>() {
        Ok(listen) if listen.ip().is_loopback() => Some(listen),
        Ok(_) => {
            let mend = "write 127.0.0.1 and put a proxy with TLS in front; sign-in without TLS must not leave the machine";
            section.wrong("listen", format!("{text} can be reached from other machines"), mend);
            None
        }
        Err(_) => {
            section.wrong("listen", format!("`{}` is not an address and a port", text.escape_debug()), format!("write {form}"));
            None
        }
    });
    let users = path(section, "users", "the file of users", folder);
    Some(PageSettings { listen: listen?, users: users? })
}

fn backends(root: &Section<'_>, folder: &Path) -> Option<Vec<BackendSettings>> {
    let sections = root.sections("backend");
    let mut seen = Vec::new();
    let read: Vec<Option<BackendSettings>> = sections
        .iter()
        .map(|section| {
            let backend = backend(section, folder);
            if let Some(backend) = &backend {
                if seen.contains(&backend.name) {
                    let what = format!("there are two backends named {}", backend.name.as_str());
                    section.wrong("name", what, "keep one of them");
                }
                seen.push(backend.name);
            }
            backend
        })
        .collect();
    read.into_iter().collect()
}

fn backend(section: &Section<'_>, folder: &Path) -> Option<BackendSettings> {
    let names = [BackendName::Traceability, BackendName::Grading].map(|name| (name.as_str(), name));
    let name = section.choice("name", &names);
    let url = section.text("url", "the backend's address, for example \"https://backend.plant.example\"").filter(|url| {
        let refused = url_problem(url);
        if let Some((what, mend)) = refused {
            section.wrong("url", what, mend);
        }
        refused.is_none()
    });
    let batch = section.whole("batch", 1..=1000_u16);
    let sample_every = section.whole_or("sample_every", 0..=10_000_u32, crate::upload::SAMPLE_EVERY);
    let token_file = path(section, "token_file", "the file with the backend's token", folder);
    let file = |key, form: &str| section.optional_text(key, form).map(|path| path.map(|path| folder.join(path)));
    let authorities = file("authorities", "the file with the plant's certificate authorities in PEM");
    let certificate = file("client_certificate", "the file with this appliance's certificate in PEM");
    let key = file("client_key", "the file with the certificate's key in PEM");
    match (&certificate, &key) {
        (Some(Some(_)), Some(None)) => {
            section.misses("client_key", "add `client_key = …`, the file with the certificate's key in PEM".to_owned())
        }
        (Some(None), Some(Some(_))) => {
            section.misses("client_certificate", "add `client_certificate = …`, the file with the key's certificate in PEM".to_owned());
        }
        _ => {}
    }
    let (name, url, batch, token_file) = (name?, url?.to_owned(), usize::from(batch?), token_file?);
    let sample_every = sample_every?;
    Some(BackendSettings { name, url, batch, sample_every, token_file, authorities: authorities?, client: certificate?.zip(key?) })
}

/// What is wrong with a backend's address, and the mend.
fn url_problem(url: &str) -> Option<(&'static str, &'static str)> {
    let (safe, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return Some(("this is not an http address", "write https://HOST, or http://127.0.0.1:PORT on this machine")),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host_and_port(authority).map_or(authority, |(host, _)| host);
    if authority.contains('@') {
        Some(("a password in an address ends up in logs", "put the token into token_file"))
    } else if host.is_empty() || url.contains(char::is_whitespace) || (host.contains(':') && !host.starts_with('[')) {
        Some(("this address has no host or no valid port", "write https://HOST, or http://127.0.0.1:PORT on this machine"))
    } else if !safe && !is_loopback(host) {
        Some(("the token would cross the network in the clear", "write https://"))
    } else {
        None
    }
}

/// Splits `host:port`; an IPv6 address stands in brackets. Port 0 is none.
fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse::<u16>().ok().filter(|port| *port > 0)?;
    let bare = !host.contains([':', '[', ']', '/', '@']) && !host.contains(char::is_whitespace);
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).is_some_and(|host| host.parse::<IpAddr>().is_ok());
    (!host.is_empty() && (bare || bracketed)).then_some((host, port))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn log_level(section: &Section<'_>) -> Option<LogLevel> {
    let levels = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];
    section.choice_or("level", &levels.map(|level| (level.as_str(), level)), LogLevel::Info)
}

fn panel(section: &Section<'_>, folder: &Path) -> Option<PanelSettings> {
    let png = section.optional_text("png", "the path of a PNG file");
    let width_pixels = section.whole("width_pixels", 160..=4096_u32);
    let height_pixels = section.whole("height_pixels", 120..=4096_u32);
    let language = section.choice("language", &[("en", Language::En), ("zh", Language::Zh)]);
    let png = png?.map(|png| folder.join(png));
    Some(PanelSettings { png, width_pixels: width_pixels?, height_pixels: height_pixels?, language: language? })
}

/// Tells of every section that says the same as one before it. `what` is told with the value in it.
pub(super) fn refuse_repetition<K: Ord + Clone>(
    sections: &[(&Section<'_>, Option<K>)],
    key: &'static str,
    what: impl Fn(&K) -> String,
    mend: &str,
) {
    let mut seen = BTreeSet::new();
    for (section, value) in sections {
        if let Some(value) = value
            && !seen.insert(value.clone())
        {
            section.wrong(key, what(value), mend);
        }
    }
}
