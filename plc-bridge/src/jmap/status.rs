//! The status block: what the appliance tells the PLC. All zeros means: stopped, nothing passes.

use super::{Field, Kind, Order, Registers, STATUS_HEAD, flags};

/// Every named field of the status block.
pub const STATUS: &[Field] = &[
    Field::flag("TriggerReady", 0, 0, "a trigger will be taken"),
    Field::flag("TriggerAck", 0, 1, "equals Trigger once it was seen"),
    Field::flag("AcqError", 0, 3, "a trigger came while TriggerReady was 0"),
    Field::bits("OfflineReason", 0, 4, 3, "3 = the PLC set it offline or halted it"),
    Field::flag("Online", 0, 7, "linked, judging and not set offline"),
    Field::flag("Busy", 0, 8, "a piece awaits its verdict"),
    Field::flag("InspectionCompleted", 0, 9, "toggles with each new result on offer"),
    Field::flag("ResultsBufferOverrun", 0, 10, "a result found no room on offer"),
    Field::flag("ResultsValid", 0, 11, "the result registers hold a result"),
    Field::flag("CommandExecuting", 0, 12, "a command is being done"),
    Field::flag("CommandCompleted", 0, 13, "a command was done"),
    Field::flag("CommandFailed", 0, 14, "a command was refused or failed"),
    Field::flag("Error", 0, 15, "ErrorCode holds an error"),
    Field::flag("SetUserDataAck", 1, 0, "Serial and UserData were latched"),
    Field::flag("ExposureComplete", 1, 3, "the piece may move on"),
    Field::flag("Pass", 1, 4, "the result on offer is a pass"),
    Field::flag("Fail", 1, 5, "the result on offer is a fail"),
    Field::flag("NoVerdict", 1, 6, "nobody judged the piece on offer"),
    Field::flag("RunPermit", 1, 7, "1 = the line may run"),
    Field::bits("SoftEventAck", 1, 8, 8, "soft events taken"),
    Field::word("VisionHeartbeat", 2, "+1 every 100 ms, from the judging thread"),
    Field::word("State", 3, "OPC 40100-1 state number"),
    Field::word("AckCommand", 4, "echo of Command"),
    Field::word("ErrorCode", 5, "severity, component, nature; 1 = no error, 0 = never started"),
    Field::word("ErrorCause", 6, "command code, or 0"),
    Field::word("CurrentRecipe", 7, "recipe in use"),
    Field::word("AcquisitionID", 8, "1 to 65535, wraps to 1"),
    Field::word("InspectionID", 9, "acquisition of the result on offer; 0 = none yet"),
    Field::long("PieceSeqEcho", 10, "piece of the result on offer; must be compared"),
    Field::long("EncoderEcho", 12, "encoder counts at its trigger"),
    Field::word("ResultCode", 14, "0 none, 1 pass, 2 fail, 3 downgrade, 4 no verdict, 5 no piece, 6 golden ok, 7 golden failed"),
    Field::word("Grade", 15, "grade index of the rubric; 0 = none"),
    Field::word("TopDefectClass", 16, "class of the best-scored defect; 0 = none"),
    Field::word("DefectCount", 17, "number of defects"),
    Field::word("Score", 18, "0 to 10000"),
    Field::word("Latency", 19, "0.1 ms, trigger edge to verdict"),
    Field::long("StopReason", 20, "bits: why the line is stopped"),
    Field::word("StopSeq", 22, "+1 per new stop"),
    Field::word("SpcRules", 23, "bit n-1 = Nelson rule n"),
    Field::word("SpcChartId", 24, "chart that asked for the stop"),
    Field::word("RejectQueueDepth", 25, "rejects commanded and not yet confirmed"),
    Field::long("NextRejectAt", 26, "encoder count of the next reject"),
    Field::long("CountInspected", 28, "pieces with a verdict"),
    Field::long("CountPass", 30, "pass"),
    Field::long("CountFail", 32, "fail"),
    Field::long("CountNoVerdict", 34, "no verdict"),
    Field::long("CountMissedTriggers", 36, "trigger edges while not ready"),
    Field::long("CountBufferOverruns", 38, "results that found no room on offer"),
    Field::long("CountRejectCommanded", 40, "pieces sent to the gate"),
    Field::long("CountRejectConfirmed", 42, "rejects seen at the gate"),
    Field::long("CountRejectUnconfirmed", 44, "rejects not seen at the gate"),
    Field::word("StoragePermille", 46, "storage in use, 1/1000"),
    Field::long("UploadBacklog", 47, "parcels not yet delivered"),
    Field::word("MapVersion", 49, "version of this map"),
    Field::word("ModelVersion", 50, "version of the model in use"),
    Field::word("RubricVersion", 51, "version of the rubric in use"),
    Field::span("Payload", 64, 64, Kind::Words, "recipe-defined values of the result on offer"),
];

/// Bits of the second status word that others need by themselves.
pub mod status2 {
    /// Offset of the register within the status block.
    pub const REGISTER: u16 = 1;
    /// `RunPermit`.
    pub const RUN_PERMIT: u16 = 1 << 7;
}

/// Values of `ErrorCode`: severity nibble, component nibble, nature.
pub mod error_code {
    /// Alive, no error.
    pub const NONE: u16 = 0x0001;
    /// Critical, vision: the line was stopped because the camera is gone or repeats itself.
    pub const CAMERA: u16 = 0x1101;
    /// Critical, vision: the line was stopped because the model fails.
    pub const MODEL: u16 = 0x1102;
    /// Critical, storage: the line was stopped because records do not become durable.
    pub const STORAGE: u16 = 0x1801;
    /// Error, communication: the command is unknown, does not fit the state, or was refused.
    pub const COMMAND_REFUSED: u16 = 0x2402;
    /// Error, vision: a trigger came while not ready.
    pub const TRIGGER_MISSED: u16 = 0x2103;
    /// Error, communication: a trigger carried the number of a piece whose result is still owed or not yet acknowledged.
    pub const PIECE_REPEATED: u16 = 0x2404;
    /// Error, recipe: `PrepareRecipe` named a recipe that is not in force.
    pub const OTHER_RECIPE: u16 = 0x2205;
    /// Error, communication: a command came while another was being done.
    pub const COMMAND_BUSY: u16 = 0x2406;
    /// Warning, communication: a result found no room on offer.
    pub const RESULTS_OVERRUN: u16 = 0x4401;
    /// Warning, communication: `LineStopAck` was refused; a person acknowledges at the page or panel.
    pub const STOP_ACK_REFUSED: u16 = 0x4407;
}

/// Values of `State` that the appliance takes (numbers of OPC 40100-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum State {
    /// Started, not yet linked to a PLC or a judge.
    Preoperational = 1,
    /// Set offline or halted by the PLC.
    Halted = 2,
    /// The appliance itself is in trouble: camera, model or storage.
    Error = 3,
    /// Linked, without a prepared recipe.
    Initialized = 5,
    /// Linked, triggers not enabled.
    Ready = 6,
    /// Taking one trigger.
    SingleExecution = 7,
    /// Linked, taking triggers.
    ContinuousExecution = 8,
}

/// Values of `ResultCode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum ResultCode {
    /// No result on offer.
    None = 0,
    /// Pass.
    Pass = 1,
    /// Fail.
    Fail = 2,
    /// Nobody judged it.
    NoVerdict = 4,
    /// A challenge piece, and its defect was found.
    GoldenOk = 6,
    /// A challenge piece, and its defect was not found.
    GoldenFailed = 7,
}

/// Registers 0–63 of the status block. The default is all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "each field is the field of the same name in `STATUS`, which carries its meaning")]
pub struct Status {
    pub trigger_ready: bool,
    pub trigger_ack: bool,
    pub acq_error: bool,
    /// 0…7.
    pub offline_reason: u8,
    pub online: bool,
    pub busy: bool,
    pub inspection_completed: bool,
    pub results_buffer_overrun: bool,
    pub results_valid: bool,
    pub command_executing: bool,
    pub command_completed: bool,
    pub command_failed: bool,
    pub error: bool,
    pub set_user_data_ack: bool,
    pub exposure_complete: bool,
    pub pass: bool,
    pub fail: bool,
    pub no_verdict: bool,
    pub run_permit: bool,
    pub soft_event_acks: u8,
    pub heartbeat: u16,
    pub state: u16,
    pub ack_command: u16,
    pub error_code: u16,
    pub error_cause: u16,
    pub current_recipe: u16,
    pub acquisition_id: u16,
    pub inspection_id: u16,
    pub piece_seq_echo: u32,
    pub encoder_echo: u32,
    pub result_code: u16,
    pub grade: u16,
    pub top_defect_class: u16,
    pub defect_count: u16,
    pub score: u16,
    pub latency: u16,
    pub stop_reason: u32,
    pub stop_seq: u16,
    pub spc_rules: u16,
    pub spc_chart_id: u16,
    pub reject_queue_depth: u16,
    pub next_reject_at: u32,
    /// Registers 28–45 in the map's order: inspected, pass, fail, no verdict, missed triggers, buffer overruns,
    /// reject commanded, confirmed, unconfirmed.
    pub counters: [u32; 9],
    pub storage_permille: u16,
    pub upload_backlog: u32,
    pub map_version: u16,
    pub model_version: u16,
    pub rubric_version: u16,
}

impl Status {
    /// Reads registers 0–63; registers that are missing count as zero, unnamed bits are ignored.
    #[must_use]
    pub fn decode(words: &[u16], order: Order) -> Self {
        let block = Registers { words, order };
        let [_, offline] = (block.word(0) >> 4 & 0b111).to_be_bytes();
        let [soft_event_acks, _] = block.word(1).to_be_bytes();
        Self {
            trigger_ready: block.flag(0, 0),
            trigger_ack: block.flag(0, 1),
            acq_error: block.flag(0, 3),
            offline_reason: offline,
            online: block.flag(0, 7),
            busy: block.flag(0, 8),
            inspection_completed: block.flag(0, 9),
            results_buffer_overrun: block.flag(0, 10),
            results_valid: block.flag(0, 11),
            command_executing: block.flag(0, 12),
            command_completed: block.flag(0, 13),
            command_failed: block.flag(0, 14),
            error: block.flag(0, 15),
            set_user_data_ack: block.flag(1, 0),
            exposure_complete: block.flag(1, 3),
            pass: block.flag(1, 4),
            fail: block.flag(1, 5),
            no_verdict: block.flag(1, 6),
            run_permit: block.flag(1, 7),
            soft_event_acks,
            heartbeat: block.word(2),
            state: block.word(3),
            ack_command: block.word(4),
            error_code: block.word(5),
            error_cause: block.word(6),
            current_recipe: block.word(7),
            acquisition_id: block.word(8),
            inspection_id: block.word(9),
            piece_seq_echo: block.long(10),
            encoder_echo: block.long(12),
            result_code: block.word(14),
            grade: block.word(15),
            top_defect_class: block.word(16),
            defect_count: block.word(17),
            score: block.word(18),
            latency: block.word(19),
            stop_reason: block.long(20),
            stop_seq: block.word(22),
            spc_rules: block.word(23),
            spc_chart_id: block.word(24),
            reject_queue_depth: block.word(25),
            next_reject_at: block.long(26),
            counters: std::array::from_fn(|index| block.long(28 + 2 * index)),
            storage_permille: block.word(46),
            upload_backlog: block.long(47),
            map_version: block.word(49),
            model_version: block.word(50),
            rubric_version: block.word(51),
        }
    }

    fn flag_words(&self) -> [u16; 2] {
        let status = flags(&[
            (0, self.trigger_ready),
            (1, self.trigger_ack),
            (3, self.acq_error),
            (7, self.online),
            (8, self.busy),
            (9, self.inspection_completed),
            (10, self.results_buffer_overrun),
            (11, self.results_valid),
            (12, self.command_executing),
            (13, self.command_completed),
            (14, self.command_failed),
            (15, self.error),
        ]);
        let status2 = flags(&[
            (0, self.set_user_data_ack),
            (3, self.exposure_complete),
            (4, self.pass),
            (5, self.fail),
            (6, self.no_verdict),
            (7, self.run_permit),
        ]);
        [status | u16::from(self.offline_reason & 0b111) << 4, status2 | u16::from(self.soft_event_acks) << 8]
    }

    /// Writes registers 0–63, to be sent in one request so that a reader never sees half of them.
    #[must_use]
    pub fn encode(&self, order: Order) -> [u16; STATUS_HEAD as usize] {
        let mut words = [0; STATUS_HEAD as usize];
        words[..2].copy_from_slice(&self.flag_words());
        words[2..10].copy_from_slice(&[
            self.heartbeat,
            self.state,
            self.ack_command,
            self.error_code,
            self.error_cause,
            self.current_recipe,
            self.acquisition_id,
            self.inspection_id,
        ]);
        words[10..12].copy_from_slice(&order.split(self.piece_seq_echo));
        words[12..14].copy_from_slice(&order.split(self.encoder_echo));
        let result = [self.result_code, self.grade, self.top_defect_class, self.defect_count, self.score, self.latency];
        words[14..20].copy_from_slice(&result);
        words[20..22].copy_from_slice(&order.split(self.stop_reason));
        words[22..26].copy_from_slice(&[self.stop_seq, self.spc_rules, self.spc_chart_id, self.reject_queue_depth]);
        words[26..28].copy_from_slice(&order.split(self.next_reject_at));
        for (pair, value) in words[28..46].chunks_exact_mut(2).zip(self.counters) {
            pair.copy_from_slice(&order.split(value));
        }
        words[46] = self.storage_permille;
        words[47..49].copy_from_slice(&order.split(self.upload_backlog));
        words[49..52].copy_from_slice(&[self.map_version, self.model_version, self.rubric_version]);
        words
    }
}

#[cfg(test)]
mod tests {
    use super::super::{low_bits, tests::orders};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn struct_and_table_name_the_same_bits() {
        let mut named = [0_u16; STATUS_HEAD as usize];
        for field in STATUS.iter().filter(|field| field.register < STATUS_HEAD) {
            let mut words = [0_u16; STATUS_HEAD as usize];
            for word in &mut words[usize::from(field.register)..usize::from(field.register + field.width)] {
                *word = match field.kind {
                    Kind::Bits { first, count } => low_bits(count) << first,
                    _ => 0xFFFF,
                };
            }
            assert_eq!(Status::decode(&words, Order::default()).encode(Order::default()), words, "{}", field.name);
            for (named, word) in named.iter_mut().zip(words) {
                *named |= word;
            }
        }
        assert_eq!(Status::decode(&[0xFFFF; 64], Order::default()).encode(Order::default()), named);
    }

    /// The registers of the contract that a controls engineer checks first, written out by hand.
    #[test]
    fn the_registers_of_the_contract() {
        let status = Status {
            trigger_ready: true,
            results_valid: true,
            pass: true,
            run_permit: true,
            heartbeat: 7,
            piece_seq_echo: 0x0001_0002,
            stop_reason: 1 << 10,
            map_version: 1,
            ..Status::default()
        };
        let words = status.encode(Order::default());
        assert_eq!(words[0], 0x0801);
        assert_eq!(words[1], 0x0090);
        assert_eq!(words[2], 7);
        assert_eq!(words[10..12], [1, 2]);
        assert_eq!(words[20..22], [0, 0x0400]);
        assert_eq!(words[49], 1);
        assert_eq!(words[usize::from(status2::REGISTER)] & status2::RUN_PERMIT, 0x80);
    }

    #[test]
    fn zero_is_safe() {
        let zero = Status::decode(&[], Order::default());
        assert_eq!(zero, Status::default());
        assert_eq!(zero.encode(Order::default()), [0; 64]);
        assert!(!zero.run_permit && !zero.pass && !zero.results_valid && !zero.trigger_ready);
    }

    proptest! {
        #[test]
        fn any_registers_decode_and_what_was_understood_survives(
            words in proptest::collection::vec(any::<u16>(), 0..130), order in orders()
        ) {
            let status = Status::decode(&words, order);
            prop_assert_eq!(Status::decode(&status.encode(order), order), status);
        }
    }
}
