//! One lap of one contestant: started, watched, ended, and what it did.

use crate::arrangement::Arrangement;
use crate::page::{Viewer, enter};
use crate::plc::{Program, STATUS_BASE, Server, TAGS_BASE};
use crate::{Done, Track};
use appliance::config::sample;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a lap takes.
#[derive(Debug, Clone, Copy)]
pub struct Lap {
    /// Seconds that are measured.
    pub seconds: u32,
    /// Seconds before, in which everything comes up and becomes warm.
    pub settle: u32,
}

/// What a contestant did in one lap. Milliseconds; counts; megabytes; seconds.
#[derive(Debug, Clone, Default)]
pub struct Run {
    pub name: String,
    pub track: String,
    pub round: usize,
    /// Reactions and overheads of all frames with a defect, sorted.
    pub reactions: Vec<f64>,
    pub overheads: Vec<f64>,
    pub react: [f64; 3],
    pub infer: [f64; 3],
    pub overhead: f64,
    pub stages: Value,
    pub cpu: f64,
    pub rss: f64,
    pub first: f64,
    pub dropped: u64,
    pub wrong: u64,
    pub frames: u64,
}

impl Run {
    pub fn json(&self) -> Value {
        let three = |[p50, p99, p999]: [f64; 3]| json!({"p50": round(p50), "p99": round(p99), "p999": round(p999)});
        json!({
            "bench": "appliance.race", "contestant": self.name, "track": self.track, "round": self.round, "frames": self.frames,
            "react_ms": three(self.react), "infer_ms": three(self.infer), "overhead_ms": round(self.overhead), "stage_us": self.stages,
            "cpu_ms_per_frame": round(self.cpu), "rss_mb": round(self.rss), "first_verdict_s": round(self.first),
            "dropped": self.dropped, "wrong": self.wrong,
        })
    }
}

pub fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// p50, p99 and p99.9 as the peers take them.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "ranks of some thousands")]
pub fn quantiles(sorted: &[f64]) -> [f64; 3] {
    let rank = |share: f64| ((share * sorted.len() as f64) as usize).min(sorted.len().saturating_sub(1));
    [0.5, 0.99, 0.999].map(|share| sorted.get(rank(share)).copied().unwrap_or(f64::NAN))
}

/// A child that does not outlive the bench.
struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }
}

impl Held {
    /// Asks it to end, and waits until it has.
    fn end(mut self) -> Done<()> {
        Command::new("kill").arg("-TERM").arg(self.0.id().to_string()).status()?;
        let end = Instant::now() + Duration::from_secs(30);
        while self.0.try_wait()?.is_none() {
            if Instant::now() > end {
                return Err("a contestant does not end".into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn lines(&mut self) -> Done<std::io::Lines<BufReader<ChildStdout>>> {
        Ok(BufReader::new(self.0.stdout.take().ok_or("no output")?).lines())
    }

    /// CPU milliseconds so far, in steps of ten.
    fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap_or_default();
        let rest = stat.rsplit_once(')').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        rest.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * 10.0
    }

    /// Largest resident set in megabytes.
    fn rss(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap_or(f64::NAN) / 1000.0
    }
}

impl Arrangement {
    fn python(&self, script: &str) -> Command {
        let mut command = match std::env::var("FIFO") {
            Ok(priority) => {
                let mut command = Command::new("chrt");
                command.args(["-f", &priority]).arg(&self.python);
                command
            }
            Err(_) => Command::new(&self.python),
        };
        command.arg(self.peers.join(script)).current_dir(&self.folder).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// Runs a peer to its end; its JSON, and its CPU between the fourth second and the last but one.
    fn finish(&self, mut command: Command, lap: Lap) -> Done<(Value, f64)> {
        let mut child = Held(command.spawn()?);
        let mut lines = child.lines()?;
        std::thread::sleep(Duration::from_secs(3));
        let (before, began) = (child.cpu(), Instant::now());
        std::thread::sleep(Duration::from_secs(u64::from(lap.seconds) - 3));
        let (cpu, wall) = (child.cpu() - before, began.elapsed().as_secs_f64());
        let line = lines.by_ref().map_while(Result::ok).find(|line| line.starts_with('{'));
        let status = child.0.wait()?;
        let line = line.ok_or_else(|| format!("no figures ({status})"))?;
        Ok((serde_json::from_str(&line)?, cpu / wall))
    }

    /// Bare inference of one graph at the pace.
    pub fn floor(&self, track: Track, lap: Lap, round: usize, model: &str) -> Done<Run> {
        let server = Server::start(&self.folder)?;
        let mut command = self.python("floor.py");
        let model_file = format!("{model}.onnx");
        command.args(["--model", &model_file, "--frames", track.frames, "--plc", &format!("127.0.0.1:{}", server.port)]);
        command.args(["--rate", &track.rate.to_string(), "--seconds", &lap.seconds.to_string()]);
        let (told, cpu) = self.finish(command, lap)?;
        let infer = three(&told["infer_ms"]);
        let stages = json!({"pre": told["pre_us"]["p50"], "modbus": told["modbus_us"]["p50"]});
        let frames = told["infer_ms"]["n"].as_u64().unwrap_or(0);
        let cpu = cpu / track.rate;
        Ok(Run {
            name: format!("bare {model}"),
            track: track.model.to_owned(),
            round,
            react: infer,
            infer,
            cpu,
            stages,
            frames,
            ..Run::default()
        })
    }

    /// Frames a second of bare inference in two threads, as fast as they can.
    pub fn two_streams(&self, track: Track, lap: Lap) -> Done<f64> {
        let server = Server::start(&self.folder)?;
        let mut command = self.python("floor.py");
        let model_file = format!("{}.onnx", track.model);
        command.args(["--model", &model_file, "--frames", track.frames, "--plc", &format!("127.0.0.1:{}", server.port)]);
        command.args(["--streams", "2", "--seconds", &lap.seconds.to_string()]);
        let (told, _) = self.finish(command, lap)?;
        let frames = told["infer_ms"]["n"].as_f64().ok_or("no count of frames")?;
        Ok(frames / f64::from(lap.seconds))
    }

    /// One of the tuned programs.
    pub fn peer(&self, name: &str, engine: &str, track: Track, lap: Lap, round: usize) -> Done<Run> {
        let server = Server::start(&self.folder)?;
        let mut command = self.python("peer.py");
        let model_file = format!("{}.onnx", track.model);
        command.args(["--model", &model_file, "--frames", track.frames, "--plc", &format!("127.0.0.1:{}", server.port)]);
        command.args(["--mode", "tuned", "--engine", engine]);
        command.args(["--rate", &track.rate.to_string(), "--seconds", &lap.seconds.to_string()]);
        let (told, _) = self.finish(command, lap)?;
        let of = |stage: &str| told["stage_us"][stage]["p50"].as_f64().unwrap_or(f64::NAN);
        let (react, infer) = (three(&told["react_ms"]), three(&told["stage_us"]["infer"]).map(|micros| micros / 1000.0));
        Ok(Run {
            name: name.to_owned(),
            track: track.model.to_owned(),
            round,
            react,
            infer,
            overhead: react[0] - infer[0],
            stages: json!({"wait": of("decode"), "pre": of("pre"), "infer": of("infer"), "post": of("post"), "modbus": of("modbus")}),
            cpu: told["cpu_ms_per_frame"].as_f64().unwrap_or(f64::NAN),
            rss: told["rss_mb"]["peak"].as_f64().unwrap_or(f64::NAN),
            first: told["first_verdict_s"].as_f64().unwrap_or(f64::NAN),
            dropped: told["dropped"].as_u64().unwrap_or(u64::MAX),
            wrong: told["wrong"].as_u64().unwrap_or(u64::MAX),
            frames: told["frames"].as_u64().unwrap_or(0),
            ..Run::default()
        })
    }

    /// The appliance with everything on.
    pub fn product(&self, name: &str, track: Track, package: &str, lap: Lap, round: usize) -> Done<Run> {
        let server = Server::start(&self.folder)?;
        let _program = Program::start(server.port)?;
        let home = tempfile::tempdir()?;
        fs::write(home.path().join("token"), "race")?;
        let mut backend = Command::new(&self.jidoka);
        backend.args(["backend", "--listen", "127.0.0.1:0", "--token-file", "token", "--data", "backend"]);
        let mut backend = Held(backend.current_dir(home.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?);
        let said = backend.lines()?.next().ok_or("the backend said nothing")??;
        let url = said.strip_prefix("backend: ").ok_or("the backend has no address")?.to_owned();
        let (settings, figures) = (home.path().join("jidoka.toml"), home.path().join("figures.json"));
        fs::write(&settings, self.settings(track, package, server.port, &url)?)?;
        let log = fs::File::create(self.folder.join("jidoka.log"))?;
        let mut command = Command::new(&self.jidoka);
        command.arg("run").arg("--config").arg(&settings).arg("--figures").arg(&figures);
        let mut child = Held(command.stdout(Stdio::piped()).stderr(log).spawn()?);
        let mut said = child.lines()?;
        let mut after = |start: &str| -> Done<String> {
            let line = said.next().ok_or_else(|| format!("jidoka said nothing; see {}", self.folder.join("jidoka.log").display()))??;
            Ok(line.strip_prefix(start).ok_or_else(|| format!("jidoka said {line}"))?.to_owned())
        };
        let page = after("page: http://")?.trim_end_matches('/').to_owned();
        let cookie = enter(&page, &after("first sign-in: set-up code ")?)?;
        let viewers = [Viewer::open(&page, &cookie)?, Viewer::open(&page, &cookie)?];
        std::thread::sleep(Duration::from_secs(lap.settle.into()));
        let (before, began) = (child.cpu(), Instant::now());
        std::thread::sleep(Duration::from_secs(lap.seconds.into()));
        let (cpu, wall) = (child.cpu() - before, began.elapsed().as_secs_f64());
        let rss = child.rss();
        if viewers.iter().any(|viewer| viewer.states() < u64::from(lap.seconds)) {
            return Err("the pages did not follow".into());
        }
        drop(viewers);
        child.end()?;
        backend.end()?;
        let told: Value = serde_json::from_slice(&fs::read(&figures)?)?;
        let mut run = judge(&told, lap, &self.folder.join(track.frames))?;
        (run.name, run.track, run.round) = (name.to_owned(), track.model.to_owned(), round);
        (run.cpu, run.rss) = (cpu / wall / track.rate, rss);
        Ok(run)
    }

    /// The annotated sample with what is different here.
    fn settings(&self, track: Track, package: &str, port: u16, url: &str) -> Done<String> {
        let mut text = sample().to_owned();
        let mut set = |from: &str, to: String| -> Done<()> {
            if !text.contains(from) {
                return Err(format!("the sample has no {from:?}").into());
            }
            text = text.replace(from, &to);
            Ok(())
        };
        let quoted = |path: &Path| format!("{:?}", path.display().to_string());
        set("directory = \"/var/lib/jidoka\"", "directory = \"data\"".to_owned())?;
        let replay = format!("kind = \"replay\"\npath = {}", quoted(&self.folder.join(track.frames)));
        let pace = format!("free_run_per_second = {:.3}", track.rate);
        if track.cameras == 1 {
            set("kind = \"generated\"", format!("{replay}\n{pace}"))?;
        } else {
            set("\n[camera]\n# Name", "\n[[camera]]\n# Name".to_owned())?;
            set("kind = \"generated\"", replay.clone())?;
            let second = format!("[[camera]]\nname = \"cam1\"\n{replay}\n");
            let set_of_two = format!("[frame_set]\nwindow_millis = 20\nmissing_member = \"hold\"\n{pace}\n");
            set("\n[model]\n", format!("\n{second}\n{set_of_two}\n[model]\n"))?;
        }
        set("\nseed = 7", String::new())?;
        set("\nbad_share = 0.08", String::new())?;
        set("\"/usr/share/jidoka/packages/pcb\"", quoted(&self.folder.join("packages").join(package)))?;
        set("127.0.0.1:5020", format!("127.0.0.1:{port}"))?;
        set("status_base = 1000", format!("status_base = {STATUS_BASE}"))?;
        set("write_allowed = [[1000, 1127]]", format!("write_allowed = [[{STATUS_BASE}, {}]]", STATUS_BASE + 127))?;
        // A line without triggers is not waiting for one: the control block carries heartbeat and acknowledgements alone.
        set("poll_interval_millis = 2", "poll_interval_millis = 10".to_owned())?;
        set("\nsample = \"trigger\"", "\nsample = \"interval\"\ninterval_millis = 100".to_owned())?;
        for offset in [0, 2, 4, 6, 8_u16] {
            set(&format!("address = {}", 2000 + offset), format!("address = {}", TAGS_BASE + offset))?;
        }
        // Half of these pieces are bad; nobody is there to release the line.
        set("consecutive_rejects = 4", "consecutive_rejects = 1000".to_owned())?;
        set("reject_rate_max = 12", "reject_rate_max = 49".to_owned())?;
        set("unconfirmed_rejects = 2", "unconfirmed_rejects = 100000".to_owned())?;
        set("127.0.0.1:8080", "127.0.0.1:0".to_owned())?;
        set("/var/lib/jidoka/users.json", "users.json".to_owned())?;
        set("http://127.0.0.1:8090", url.to_owned())?;
        set("/etc/jidoka/traceability.token", "token".to_owned())?;
        set("/etc/jidoka/grading.token", "token".to_owned())?;
        // A peer's verdict is one coil; here it is the status block, without values of the recipe besides.
        set("[[recipe.payload]]\nname = \"record\"\nregister = 64\nkind = \"u32\"\nvalue = \"record\"\n", String::new())?;
        // No pictures: the others keep none.
        set("reject = { days = 365, bytes_max = 1_000_000_000 }", "keep = []".to_owned())?;
        set("hold = { days = 365, bytes_max = 200_000_000 }", String::new())?;
        set("golden = { days = 1825, bytes_max = 100_000_000 }", String::new())?;
        set("overruled = { days = 1825 }", String::new())?;
        set("low_confidence = { margin = 0.1, days = 90, bytes_max = 400_000_000 }", String::new())?;
        set("sampled_pass = { every = 200, days = 30, bytes_max = 200_000_000 }", String::new())?;
        set("\npng = \"/var/lib/jidoka/panel.png\"", String::new())?;
        set("# [realtime]\n# priority = 20\n# lock_memory = true", "[realtime]\npriority = 20\nlock_memory = true".to_owned())?;
        Ok(text)
    }
}

fn three(spread: &Value) -> [f64; 3] {
    ["p50", "p99", "p999"].map(|name| spread[name].as_f64().unwrap_or(f64::NAN))
}

/// From the times of pieces to what is compared. A piece that nobody looked at is a dropped one.
fn judge(told: &Value, lap: Lap, frames: &Path) -> Done<Run> {
    let pieces = told["pieces"].as_array().ok_or("no pieces")?;
    let micros = |piece: &Value, key: &str| piece[key].as_f64().unwrap_or(0.0);
    let stage = |piece: &Value, key: &str| piece["stages"][key].as_f64().unwrap_or(0.0);
    let mut names: Vec<String> = fs::read_dir(frames)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort_by_key(|name| name.rsplit('_').next().unwrap_or_default().to_owned());
    let first = pieces.iter().find(|piece| micros(piece, "judged") > 0.0).ok_or("no piece was judged")?;
    let from = micros(&pieces[0], "due") + f64::from(lap.settle) * 1e6;
    let to = from + f64::from(lap.seconds) * 1e6;
    let mut run = Run { first: (told["exec_micros"].as_f64().unwrap_or(f64::NAN) + micros(first, "judged")) / 1e6, ..Run::default() };
    let (mut infer, mut stages) = (Vec::new(), [Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new()]);
    for piece in pieces {
        let verdict = piece["verdict"].as_str().unwrap_or("none");
        let looked = stage(piece, "infer") > 0.0;
        // The camera counts its frames from 1 and shows the pictures in the order of their names.
        let number = usize::try_from(piece["frame"].as_u64().unwrap_or(0)).unwrap_or(0);
        let bad = names[number.saturating_sub(1) % names.len()].starts_with("bad");
        if !(from..to).contains(&micros(piece, "due")) {
            continue;
        }
        run.frames += 1;
        run.dropped += u64::from(!looked);
        run.wrong += u64::from(looked && verdict != if bad { "reject" } else { "pass" });
        if !looked {
            continue;
        }
        infer.push(stage(piece, "infer") / 1000.0);
        let written = micros(piece, "written");
        if verdict == "reject" && written > 0.0 {
            let react = (written - micros(piece, "due")) / 1000.0;
            run.reactions.push(react);
            run.overheads.push(react - stage(piece, "infer") / 1000.0);
            let known = stage(piece, "capture") + stage(piece, "prepare") + stage(piece, "infer") + stage(piece, "decode");
            let times = [
                stage(piece, "capture"),
                stage(piece, "prepare"),
                stage(piece, "decode"),
                micros(piece, "judged") - micros(piece, "due") - known,
                written - micros(piece, "judged"),
            ];
            stages.iter_mut().zip(times).for_each(|(all, time)| all.push(time));
        }
    }
    let sort = |values: &mut Vec<f64>| values.sort_by(f64::total_cmp);
    [&mut infer, &mut run.reactions, &mut run.overheads].into_iter().for_each(sort);
    stages.iter_mut().for_each(sort);
    let middle = stages.map(|stage| quantiles(&stage)[0]);
    run.stages = json!({"capture": middle[0], "prepare": middle[1], "decode": middle[2], "judge": middle[3], "plc": middle[4]});
    (run.react, run.infer, run.overhead) = (quantiles(&run.reactions), quantiles(&infer), quantiles(&run.overheads)[0]);
    Ok(run)
}
