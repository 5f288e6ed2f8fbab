//! What the model knows of every piece, and what the records and results say of it.

use plc_bridge::jmap::Status;
use station::record::PieceRecord;
use station::verdict::Verdict;
use std::collections::{BTreeMap, HashMap};

/// SplitMix64 (Steele, Lea, Flood 2014): small, good enough, the same everywhere.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }
}

pub fn u32_of(number: u64) -> u32 {
    u32::try_from(number).expect("a small number")
}

/// A piece as it physically is, and what became of it.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Counts the PLC's restarts: one number, one count, another piece.
    pub epoch: u32,
    pub number: u32,
    pub encoder: u32,
    pub has_serial: bool,
    pub bad: bool,
    /// The appliance saw its trigger.
    pub announced: bool,
    pub recorded: Option<Verdict>,
    pub told: Option<Verdict>,
}

/// Every piece there ever was, by what the PLC says of it.
#[derive(Default)]
pub struct Books {
    pub pieces: Vec<Piece>,
    pub by_place: HashMap<(u32, u32), usize>,
    /// The last piece of each number, until the PLC forgets its numbers.
    pub by_number: BTreeMap<u32, usize>,
    pub epoch: u32,
    pub records: u32,
    pub verdicts: [u32; 3],
    /// Numbers that no piece ever had.
    pub phantoms: u32,
}

pub fn serial(index: usize) -> String {
    format!("SN{index:08}")
}

impl Books {
    /// The appliance saw this piece's trigger.
    pub fn announce(&mut self, number: u32, encoder: u32) -> usize {
        let index = *self.by_place.get(&(number, encoder)).expect("a trigger of a piece that is not there");
        self.pieces[index].announced = true;
        index
    }

    pub fn record(&mut self, record: &PieceRecord) {
        let (number, verdict) = (record.arrival.piece.0, record.judgement.verdict);
        self.records += 1;
        self.verdicts[verdict as usize] += 1;
        let place = self.by_place.get(&(number, record.arrival.encoder.0)).copied();
        // A skipped number is recorded at the count of its neighbour, where an earlier piece of that number may have lain.
        let place = place.filter(|index| self.pieces[*index].epoch == self.epoch || self.pieces[*index].recorded.is_none());
        let Some(index) = place else {
            // A number that was skipped: nobody judged it.
            assert_eq!(verdict, Verdict::Hold, "piece {number} lay nowhere and was judged");
            match self.by_number.get(&number).map(|index| &mut self.pieces[*index]) {
                Some(piece) if piece.recorded.is_none() => {
                    piece.recorded = Some(verdict);
                }
                _ => self.phantoms += 1,
            }
            return;
        };
        let piece = &mut self.pieces[index];
        assert_eq!(piece.recorded.replace(verdict), None, "{piece:?} has two records");
        let truth = if piece.bad { Verdict::Reject } else { Verdict::Pass };
        assert!([truth, Verdict::Hold].contains(&verdict), "{piece:?} was recorded as {verdict}");
        if let Some(named) = &record.arrival.serial {
            assert_eq!(*named, serial(index), "{piece:?} has another piece's serial");
        }
        let seen = record.inspection.as_ref().map(|seen| seen.frame);
        assert!(seen.is_none_or(|frame| frame == index as u64), "{piece:?} was judged by the picture of another piece");
    }

    /// The PLC read a result.
    pub fn tell(&mut self, status: &Status) {
        let verdict = match (status.pass, status.fail, status.no_verdict) {
            (true, false, false) => Verdict::Pass,
            (false, true, false) => Verdict::Reject,
            (false, false, true) => Verdict::Hold,
            other => panic!("not one-hot: {other:?}"),
        };
        let place = self.by_place.get(&(status.piece_seq_echo, status.encoder_echo)).copied();
        // What belonged to the PLC's pieces before it forgot them must not be told as a verdict any more.
        let Some(index) = place.filter(|index| self.pieces[*index].epoch == self.epoch) else {
            assert_eq!(verdict, Verdict::Hold, "piece {} lay nowhere and has a result", status.piece_seq_echo);
            if let Some(index) = self.by_number.get(&status.piece_seq_echo) {
                self.pieces[*index].told.get_or_insert(verdict);
            }
            return;
        };
        let piece = &mut self.pieces[index];
        assert!(piece.recorded.is_some(), "{piece:?} has a result and no record");
        assert!(verdict == Verdict::Hold || piece.recorded == Some(verdict), "{piece:?} was told as {verdict}");
        assert!(piece.told.is_none_or(|told| told == verdict || verdict == Verdict::Hold), "{piece:?} was told twice, now {verdict}");
        piece.told = Some(verdict);
    }
}
