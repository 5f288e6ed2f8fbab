//! Every word the panel says of its own accord, in both languages.
//!
//! Invariant: the Chinese words use only characters that the panel's font has (tested). Names, details and reaction plans
//! come from the plant in the plant's own language and are shown as they are.

use super::Language;
use super::standing::Standing;
use station::line::LinkFault;
use station::policy::StopReason;
use station::snapshot::StopView;
use station::units::Timestamp;
use station::verdict::Verdict;

impl Language {
    /// One of two.
    pub(super) const fn say(self, en: &'static str, zh: &'static str) -> &'static str {
        match self {
            Self::En => en,
            Self::Zh => zh,
        }
    }
}

/// The large word.
pub(super) const fn standing(language: Language, standing: Standing) -> &'static str {
    match standing {
        Standing::Starting => language.say("STARTING", "启动中"),
        Standing::Running => language.say("RUNNING", "运行中"),
        Standing::Ready => language.say("MAY RUN", "允许运行"),
        Standing::Stopped | Standing::Acknowledged => language.say("STOPPED", "停线"),
        Standing::Inhibited => language.say("STOP DUE", "应停未停"),
        Standing::Releasing => language.say("RELEASING", "放行中"),
    }
}

/// What the large word means, where no stop explains it.
pub(super) const fn meaning(language: Language, standing: Standing) -> &'static str {
    match standing {
        Standing::Starting => language.say("Waiting for the records and the PLC", "等待记录就绪和PLC连接"),
        Standing::Running => language.say("Run permit given, conveyor moves", "已给运行许可, 输送带运转"),
        Standing::Ready => language.say("Run permit given, conveyor stands", "已给运行许可, 输送带静止"),
        Standing::Releasing => language.say("Waiting until the release is recorded", "等待放行记录写入"),
        Standing::Stopped | Standing::Acknowledged | Standing::Inhibited => language.say("No run permit", "无运行许可"),
    }
}

/// A stop reason in words.
pub(super) const fn reason(language: Language, reason: StopReason) -> &'static str {
    match reason {
        StopReason::ConsecutiveRejects => language.say("Too many rejects in a row", "连续不合格过多"),
        StopReason::RejectRate => language.say("Reject rate too high", "不合格率过高"),
        StopReason::SpcRule => language.say("Control chart signal", "控制图报警"),
        StopReason::CameraStale => language.say("Camera gives no new picture", "相机无新图像"),
        StopReason::ModelError => language.say("Model fails", "模型出错"),
        StopReason::DeadlineMisses => language.say("Verdicts too late", "判定超时"),
        StopReason::RejectUnconfirmed => language.say("Reject not seen at the gate", "剔除未确认"),
        StopReason::RejectBinFull => language.say("Reject bin full", "不合格品箱已满"),
        StopReason::GoldenFailed => language.say("Challenge piece failed", "标样检验未通过"),
        StopReason::DiskExhausted => language.say("Records cannot be kept", "记录无法保存"),
        StopReason::PlcLink => language.say("PLC link down", "PLC通讯中断"),
        StopReason::Operator => language.say("Stopped by a person", "人工停线"),
        StopReason::QualityHold => language.say("Held for quality", "质量锁定"),
        StopReason::RecalledSerial => language.say("Recalled serial seen", "发现召回序列号"),
    }
}

/// What a person does next about a stop: the plan's check first, if it has one.
pub(super) fn next_steps(language: Language, standing: Standing, stop: Option<&StopView>) -> Vec<String> {
    let acknowledged = standing == Standing::Acknowledged || stop.is_some_and(|stop| stop.acknowledged_by.is_some());
    let mut steps = Vec::new();
    if let (false, Some(stop)) = (acknowledged, stop)
        && !stop.reaction.trim().is_empty()
    {
        steps.push(format!("{}{}", language.say("Check: ", "检查："), stop.reaction.trim()));
    }
    steps.push(
        if acknowledged {
            language.say("A supervisor releases the line on the page", "由班长在网页上放行")
        } else {
            language.say("Acknowledge on the page: enter the cause", "在网页上填写原因并确认")
        }
        .to_owned(),
    );
    steps
}

/// Who acknowledged, and the cause they gave.
pub(super) fn acknowledged(language: Language, stop: &StopView) -> Option<String> {
    let by = stop.acknowledged_by.as_ref()?;
    Some(format!("{}{}: {}", language.say("Acknowledged by ", "已确认 "), by.name(), stop.cause))
}

/// How long a stop has lasted by the wall clock (the only one that survives a restart); nothing if that clock was set back.
pub(super) fn lasting(language: Language, since: Timestamp, at: Timestamp) -> Option<String> {
    let minutes = u64::try_from(at.wall_micros.checked_sub(since.wall_micros)?).ok()? / 60_000_000;
    Some(match (minutes / 60, minutes % 60) {
        (0, 0) => language.say("< 1 min", "不到1分钟").to_owned(),
        (0, minutes) => format!("{minutes}{}", language.say(" min", "分钟")),
        (hours, minutes) => format!("{hours}{}{minutes:02}{}", language.say(" h ", "小时"), language.say(" min", "分")),
    })
}

/// A verdict.
pub(super) const fn verdict(language: Language, verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => language.say("PASS", "合格"),
        Verdict::Reject => language.say("REJECT", "不合格"),
        Verdict::Hold => language.say("HOLD", "待判"),
    }
}

/// Why the link to the PLC cannot be used.
pub(super) const fn fault(language: Language, fault: LinkFault) -> &'static str {
    match fault {
        LinkFault::Disconnected => language.say("PLC: not connected", "PLC未连接"),
        LinkFault::TimedOut => language.say("PLC: no answer", "PLC无应答"),
        LinkFault::HeartbeatFrozen => language.say("PLC: heartbeat stands", "PLC心跳停止"),
        LinkFault::ReadBackMismatch => language.say("PLC: permit not read back", "PLC许可回读不符"),
        LinkFault::Refused => language.say("PLC: refuses", "PLC拒绝请求"),
        LinkFault::Overrun => language.say("PLC: too slow", "PLC跟不上"),
    }
}
