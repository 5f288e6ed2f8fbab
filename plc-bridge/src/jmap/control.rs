//! The control block: what the PLC tells the appliance.

use super::{CONTROL_LEN, Field, Kind, Order, Registers, flags, put_text, text};

/// Every named field of the control block.
pub const CONTROL: &[Field] = &[
    Field::flag("TriggerEnable", 0, 0, "the PLC wants to trigger"),
    Field::flag("Trigger", 0, 1, "0 to 1: a piece is in front of the camera; held until TriggerAck equals it"),
    Field::flag("BufferResultsEnable", 0, 2, "up to 8 results may wait on offer"),
    Field::flag("ResultsAck", 0, 3, "the result on offer was read"),
    Field::flag("ExecuteCommand", 0, 4, "do what Command says"),
    Field::flag("SetOffline", 0, 7, "take the appliance offline"),
    Field::flag("LineStopAck", 0, 8, "the stop is acknowledged at the PLC"),
    Field::flag("LineRunning", 0, 9, "feedback: the conveyor moves"),
    Field::flag("RejectConfirm", 0, 10, "toggles per confirmed reject"),
    Field::flag("RejectBinFull", 0, 11, "no room for another rejected piece"),
    Field::flag("EStop", 0, 12, "emergency stop pressed (information only)"),
    Field::flag("StopInhibit", 0, 13, "key switch: stops are shown and logged, not commanded"),
    Field::flag("ForceRetain", 0, 14, "keep the picture of this piece"),
    Field::flag("GoldenPiece", 0, 15, "the next piece is a challenge piece"),
    Field::flag("SetUserData", 1, 0, "0 to 1: latch Serial and UserData"),
    Field::flag("ClearError", 1, 2, "0 to 1: the error shown was understood, show the next"),
    Field::flag("ClearExposureComplete", 1, 3, "clear ExposureComplete"),
    Field::bits("SoftEvent", 1, 8, 8, "soft events 0 to 7"),
    Field::word("PlcHeartbeat", 2, "+1 at least every 250 ms"),
    Field::word("Command", 3, "command code, 0 = none"),
    Field::word("CommandArg", 4, "recipe or product id"),
    Field::long("PieceSeq", 5, "the PLC's piece number; 0 = not used"),
    Field::long("EncoderAtTrigger", 7, "encoder counts, wraps"),
    Field::word("LineSpeed", 9, "0.1 m/min"),
    Field::long("LotNo", 10, "lot number; 0 = unknown"),
    Field::span("Serial", 12, 16, Kind::Ascii, "32 ASCII characters, latched by SetUserData"),
    Field::span("UserData", 32, 64, Kind::Words, "64 words, latched by SetUserData"),
];

/// The control block, decoded. The default is all zeros: nothing asked, nothing running.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the field of the same name in `CONTROL`, which carries its meaning")]
pub struct Control {
    pub trigger_enable: bool,
    pub trigger: bool,
    pub buffer_results_enable: bool,
    pub results_ack: bool,
    pub execute_command: bool,
    pub set_offline: bool,
    pub line_stop_ack: bool,
    pub line_running: bool,
    pub reject_confirm: bool,
    pub reject_bin_full: bool,
    pub estop: bool,
    pub stop_inhibit: bool,
    pub force_retain: bool,
    pub golden_piece: bool,
    pub set_user_data: bool,
    pub clear_error: bool,
    pub clear_exposure_complete: bool,
    pub soft_events: u8,
    pub heartbeat: u16,
    pub command: u16,
    pub command_arg: u16,
    pub piece_seq: u32,
    pub encoder_at_trigger: u32,
    pub line_speed: u16,
    pub lot_no: u32,
    /// `None` if the registers hold no printable text.
    pub serial: Option<String>,
    pub user_data: [u16; 64],
}

impl Default for Control {
    fn default() -> Self {
        Self::decode(&[], Order::default())
    }
}

impl Control {
    /// Reads a block; registers that are missing count as zero, unnamed bits are ignored.
    #[must_use]
    pub fn decode(words: &[u16], order: Order) -> Self {
        let block = Registers { words, order };
        let [soft_events, _] = block.word(1).to_be_bytes();
        Self {
            trigger_enable: block.flag(0, 0),
            trigger: block.flag(0, 1),
            buffer_results_enable: block.flag(0, 2),
            results_ack: block.flag(0, 3),
            execute_command: block.flag(0, 4),
            set_offline: block.flag(0, 7),
            line_stop_ack: block.flag(0, 8),
            line_running: block.flag(0, 9),
            reject_confirm: block.flag(0, 10),
            reject_bin_full: block.flag(0, 11),
            estop: block.flag(0, 12),
            stop_inhibit: block.flag(0, 13),
            force_retain: block.flag(0, 14),
            golden_piece: block.flag(0, 15),
            set_user_data: block.flag(1, 0),
            clear_error: block.flag(1, 2),
            clear_exposure_complete: block.flag(1, 3),
            soft_events,
            heartbeat: block.word(2),
            command: block.word(3),
            command_arg: block.word(4),
            piece_seq: block.long(5),
            encoder_at_trigger: block.long(7),
            line_speed: block.word(9),
            lot_no: block.long(10),
            serial: words.get(12..28).and_then(|words| text(words, order)),
            user_data: std::array::from_fn(|index| block.word(32 + index)),
        }
    }

    /// Writes the whole block.
    #[must_use]
    pub fn encode(&self, order: Order) -> [u16; CONTROL_LEN as usize] {
        let mut words = [0; CONTROL_LEN as usize];
        words[0] = flags(&[
            (0, self.trigger_enable),
            (1, self.trigger),
            (2, self.buffer_results_enable),
            (3, self.results_ack),
            (4, self.execute_command),
            (7, self.set_offline),
            (8, self.line_stop_ack),
            (9, self.line_running),
            (10, self.reject_confirm),
            (11, self.reject_bin_full),
            (12, self.estop),
            (13, self.stop_inhibit),
            (14, self.force_retain),
            (15, self.golden_piece),
        ]);
        words[1] =
            flags(&[(0, self.set_user_data), (2, self.clear_error), (3, self.clear_exposure_complete)]) | u16::from(self.soft_events) << 8;
        words[2] = self.heartbeat;
        words[3] = self.command;
        words[4] = self.command_arg;
        words[5..7].copy_from_slice(&order.split(self.piece_seq));
        words[7..9].copy_from_slice(&order.split(self.encoder_at_trigger));
        words[9] = self.line_speed;
        words[10..12].copy_from_slice(&order.split(self.lot_no));
        put_text(self.serial.as_deref().unwrap_or_default(), order, &mut words[12..28]);
        words[32..96].copy_from_slice(&self.user_data);
        words
    }
}

#[cfg(test)]
mod tests {
    use super::super::{low_bits, tests::orders};
    use super::*;
    use proptest::prelude::*;

    /// Sets the bits of each named field alone: they must come back, and no other.
    #[test]
    fn struct_and_table_name_the_same_bits() {
        let mut named = [0_u16; CONTROL_LEN as usize];
        for field in CONTROL {
            let mut words = [0_u16; CONTROL_LEN as usize];
            for word in &mut words[usize::from(field.register)..usize::from(field.register + field.width)] {
                *word = match field.kind {
                    Kind::Bits { first, count } => low_bits(count) << first,
                    Kind::Ascii => 0x4141,
                    _ => 0xFFFF,
                };
            }
            assert_eq!(Control::decode(&words, Order::default()).encode(Order::default()), words, "{}", field.name);
            for (named, word) in named.iter_mut().zip(words) {
                *named |= if field.kind == Kind::Ascii && word != 0 { 0xFFFF } else { word };
            }
        }
        let mut all = [0xFFFF_u16; CONTROL_LEN as usize];
        all[12..28].fill(0x4141);
        for ((word, named), back) in all.iter().zip(named).zip(Control::decode(&all, Order::default()).encode(Order::default())) {
            assert_eq!(back, word & named, "an unnamed bit came through");
        }
    }

    #[test]
    fn nothing_is_nothing() {
        let zero = Control::decode(&[0; 96], Order::default());
        assert_eq!(zero, Control::default());
        assert!(!zero.trigger && !zero.line_running && !zero.results_ack);
        assert_eq!(Control::decode(&[0x0201], Order::default()), Control { trigger_enable: true, line_running: true, ..zero });
    }

    proptest! {
        #[test]
        fn any_registers_decode_and_what_was_understood_survives(
            words in proptest::collection::vec(any::<u16>(), 0..130), order in orders()
        ) {
            let control = Control::decode(&words, order);
            prop_assert_eq!(Control::decode(&control.encode(order), order), control);
        }
    }
}
