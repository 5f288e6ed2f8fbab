//! As much of IEC 61131-3 structured text as the PLC's half of the contract uses, executed, so that the text that people
//! copy into their PLC is known to do what it says.
//!
//! Stricter than a PLC: a BOOL never mixes with a number, and a number that leaves the range of its type is an error, not
//! a wrap. Every deviation panics with the text that caused it.

mod parse;

use parse::{Block, Cursor, Step, tokens};
use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Bool(bool),
    /// With the range of its type.
    Number(i128, (i128, i128)),
    Array(Vec<Value>),
    Struct(BTreeMap<String, Value>),
    /// An instance: the name of its function block and its variables.
    Instance(String, BTreeMap<String, Value>),
}

use Value::{Array, Bool, Instance, Number, Struct};

const ANY: (i128, i128) = (i128::MIN, i128::MAX);
const WORD: (i128, i128) = (0, 0xFFFF);
const DWORD: (i128, i128) = (0, 0xFFFF_FFFF);

impl Value {
    pub fn number(&self) -> i128 {
        if let Number(value, _) = self { *value } else { panic!("{self:?} is no number") }
    }

    pub fn bool(&self) -> bool {
        if let Bool(value) = self { *value } else { panic!("{self:?} is no BOOL") }
    }

    pub fn field(&self, name: &str) -> &Value {
        let (Struct(fields) | Instance(_, fields)) = self else { panic!("{self:?} has no field {name}") };
        fields.get(name).unwrap_or_else(|| panic!("no field {name}"))
    }

    pub fn words(&self) -> Vec<u16> {
        let Array(values) = self else { panic!("{self:?} is no array") };
        values.iter().map(|value| u16::try_from(value.number()).expect("a word")).collect()
    }

    /// Takes a value of its own type.
    pub fn set(&mut self, new: Value) {
        match (self, new) {
            (Number(value, range), Number(new, _)) if (range.0..=range.1).contains(&new) => *value = new,
            (Bool(value), Bool(new)) => *value = new,
            (Array(values), Array(new)) if values.len() == new.len() => values.iter_mut().zip(new).for_each(|(value, new)| value.set(new)),
            (Struct(fields), Struct(mut new)) => {
                fields.iter_mut().for_each(|(name, value)| value.set(new.remove(name).expect("the same fields")));
                assert!(new.is_empty(), "other fields: {new:?}");
            }
            (slot, new) => panic!("{new:?} does not fit {slot:?}"),
        }
    }
}

/// The types and blocks of a text, and the PLC's clock.
#[derive(Default)]
pub struct Plc {
    types: BTreeMap<String, Vec<String>>,
    blocks: BTreeMap<String, Block>,
    pub now_millis: i128,
}

impl Plc {
    /// Reads a text.
    pub fn load(&mut self, text: &str) {
        let mut cursor = Cursor(tokens(text), 0);
        while !cursor.peek().is_empty() {
            match cursor.next().as_str() {
                "TYPE" => {
                    let name = cursor.next();
                    cursor.take(":");
                    let definition = cursor.until(&["END_TYPE"]);
                    self.types.insert(name, definition);
                    cursor.take("END_TYPE");
                }
                "VAR_GLOBAL" => {
                    cursor.until(&["END_VAR"]);
                    cursor.take("END_VAR");
                }
                what @ ("FUNCTION" | "FUNCTION_BLOCK") => {
                    let (name, end) = (cursor.next(), format!("END_{what}"));
                    let mut block = Block::default();
                    if cursor.peek() == ":" {
                        cursor.next();
                        block.vars.push((name.clone(), vec![cursor.next()], Vec::new()));
                    }
                    while cursor.peek().starts_with("VAR") {
                        let in_out = cursor.next() == "VAR_IN_OUT";
                        if cursor.peek() == "RETAIN" {
                            cursor.next();
                        }
                        while cursor.peek() != "END_VAR" {
                            let name = cursor.next();
                            cursor.take(":");
                            let kind = cursor.until(&[":=", ";"]);
                            let initial = if cursor.next() == ":=" { cursor.until(&[";"]) } else { Vec::new() };
                            if !initial.is_empty() {
                                cursor.take(";");
                            }
                            block.in_out.extend(in_out.then(|| name.clone()));
                            block.vars.push((name, kind, initial));
                        }
                        cursor.take("END_VAR");
                    }
                    block.body = cursor.steps(&[end.as_str()]);
                    cursor.take(&end);
                    self.blocks.insert(name, block);
                }
                other => panic!("`{other}` at the top"),
            }
        }
    }

    /// A variable of a type, or an instance of a function block, as at power-up.
    pub fn fresh(&self, kind: &[String]) -> Value {
        let word = kind[0].as_str();
        match word {
            "BOOL" => Bool(false),
            "WORD" | "UINT" => Number(0, WORD),
            "DWORD" | "UDINT" => Number(0, DWORD),
            "INT" => Number(0, (-0x8000, 0x7FFF)),
            "TIME" => Number(0, ANY),
            "ARRAY" => {
                let length: usize = kind[4].parse().expect("a bound");
                Array(vec![self.fresh(&kind[7..]); length + 1])
            }
            "STRUCT" => {
                let mut fields = BTreeMap::new();
                let mut cursor = Cursor(kind[1..].to_vec(), 0);
                while cursor.peek() != "END_STRUCT" {
                    let name = cursor.next();
                    cursor.take(":");
                    let kind = cursor.until(&[";"]);
                    cursor.take(";");
                    assert!(fields.insert(name.clone(), self.fresh(&kind)).is_none(), "{name} twice");
                }
                Struct(fields)
            }
            "TON" | "R_TRIG" => {
                let bools = ["IN", "Q", "CLK", "M"].map(|name| (name.to_owned(), Bool(false)));
                let numbers = ["PT", "SINCE"].map(|name| (name.to_owned(), Number(0, ANY)));
                Instance(word.to_owned(), bools.into_iter().chain(numbers).collect())
            }
            _ if self.types.contains_key(word) => self.fresh(&self.types[word]),
            _ => {
                let block = self.blocks.get(word).unwrap_or_else(|| panic!("no type {word}"));
                let var = |(name, kind, initial): &(String, Vec<String>, Vec<String>)| {
                    let mut value = self.fresh(kind);
                    if !initial.is_empty() {
                        value.set(self.eval(initial, &BTreeMap::new()));
                    }
                    (name.clone(), value)
                };
                Instance(word.to_owned(), block.vars.iter().map(var).collect())
            }
        }
    }

    /// Calls an instance once; in-out variables come back in `given`.
    pub fn call(&self, instance: &mut Value, given: &mut [(&str, Value)]) {
        let Instance(name, vars) = instance else { panic!("{instance:?} cannot be called") };
        for (name, value) in given.iter() {
            vars.get_mut(*name).unwrap_or_else(|| panic!("no input {name}")).set(value.clone());
        }
        match name.as_str() {
            "R_TRIG" => {
                let clk = vars["CLK"].clone();
                let rising = clk.bool() && !vars["M"].bool();
                vars.insert("Q".into(), Bool(rising));
                vars.insert("M".into(), clk);
            }
            "TON" => {
                let running = vars["IN"].bool();
                if !(running && vars["M"].bool()) {
                    vars.insert("SINCE".into(), Number(self.now_millis, ANY));
                }
                let passed = self.now_millis - vars["SINCE"].number();
                vars.insert("M".into(), Bool(running));
                vars.insert("Q".into(), Bool(running && passed >= vars["PT"].number()));
            }
            _ => {
                let block = &self.blocks[name.as_str()];
                self.run(&block.body, vars);
                for (name, value) in given.iter_mut().filter(|(name, _)| block.in_out.iter().any(|in_out| in_out == name)) {
                    *value = vars[*name].clone();
                }
            }
        }
    }

    fn run(&self, steps: &[Step], vars: &mut BTreeMap<String, Value>) {
        for step in steps {
            match step {
                Step::Assign(target, value) => {
                    let value = self.eval(value, vars);
                    self.assign(target, value, vars);
                }
                Step::If(arms, other) => {
                    let arm = arms.iter().find(|(condition, _)| self.eval(condition, vars).bool()).map_or(other, |(_, body)| body);
                    self.run(arm, vars);
                }
                Step::For(name, from, to, body) => {
                    let (from, to) = (self.eval(from, vars).number(), self.eval(to, vars).number());
                    for index in from..=to {
                        self.assign(std::slice::from_ref(name), Number(index, ANY), vars);
                        self.run(body, vars);
                    }
                }
                Step::While(condition, body) => {
                    let mut turns = 0;
                    while self.eval(condition, vars).bool() {
                        self.run(body, vars);
                        turns += 1;
                        assert!(turns < 1000, "a loop without end: {condition:?}");
                    }
                }
                Step::Call(name, arguments) => {
                    let mut given: Vec<(&str, Value)> =
                        arguments.iter().map(|(name, value)| (name.as_str(), self.eval(value, vars))).collect();
                    let mut instance = vars.get(name).unwrap_or_else(|| panic!("no instance {name}")).clone();
                    self.call(&mut instance, &mut given);
                    if let Instance(kind, _) = &instance
                        && let Some(block) = self.blocks.get(kind)
                    {
                        for ((name, value), (_, target)) in given.into_iter().zip(arguments) {
                            if block.in_out.iter().any(|in_out| in_out == name) {
                                self.assign(target, value, vars);
                            }
                        }
                    }
                    vars.insert(name.clone(), instance);
                }
            }
        }
    }

    fn assign(&self, target: &[String], value: Value, vars: &mut BTreeMap<String, Value>) {
        let mut cursor = Cursor(target.to_vec(), 1);
        let mut path = Vec::new();
        while !cursor.peek().is_empty() {
            if cursor.next() == "[" {
                let index = cursor.until(&["]"]);
                cursor.take("]");
                path.push(Err(usize::try_from(self.eval(&index, vars).number()).expect("an index")));
            } else {
                path.push(Ok(cursor.next()));
            }
        }
        let mut slot = vars.get_mut(&target[0]).unwrap_or_else(|| panic!("no variable {}", target[0]));
        for part in path {
            slot = match (slot, part) {
                (Array(values), Err(index)) => values.get_mut(index).unwrap_or_else(|| panic!("{target:?}: {index} is outside")),
                (Struct(fields), Ok(name)) => fields.get_mut(&name).unwrap_or_else(|| panic!("no field {name}")),
                (slot, part) => panic!("{part:?} of {slot:?}"),
            };
        }
        slot.set(value);
    }

    fn eval(&self, tokens: &[String], vars: &BTreeMap<String, Value>) -> Value {
        let mut cursor = Cursor(tokens.to_vec(), 0);
        let value = self.binary(&mut cursor, vars, 0);
        assert_eq!(cursor.peek(), "", "{tokens:?}");
        value
    }

    /// Operators by rising precedence (IEC 61131-3, table 52).
    fn binary(&self, cursor: &mut Cursor, vars: &BTreeMap<String, Value>, level: usize) -> Value {
        const LEVELS: [&[&str]; 6] = [&["OR"], &["AND"], &["=", "<>"], &["<", ">", "<=", ">="], &["+", "-"], &["*", "MOD"]];
        let Some(operators) = LEVELS.get(level) else { return self.primary(cursor, vars) };
        let mut left = self.binary(cursor, vars, level + 1);
        while operators.contains(&cursor.peek()) {
            let operator = cursor.next();
            let right = self.binary(cursor, vars, level + 1);
            left = match (operator.as_str(), left, right) {
                ("OR", Bool(a), Bool(b)) => Bool(a || b),
                ("AND", Bool(a), Bool(b)) => Bool(a && b),
                ("OR", Number(a, range), Number(b, _)) => Number(a | b, range),
                ("AND", Number(a, range), Number(b, _)) => Number(a & b, range),
                ("=", a, b) => Bool(same(&a, &b)),
                ("<>", a, b) => Bool(!same(&a, &b)),
                ("<", Number(a, _), Number(b, _)) => Bool(a < b),
                (">", Number(a, _), Number(b, _)) => Bool(a > b),
                ("<=", Number(a, _), Number(b, _)) => Bool(a <= b),
                (">=", Number(a, _), Number(b, _)) => Bool(a >= b),
                ("+", Number(a, range), Number(b, _)) => within(a + b, range),
                ("-", Number(a, range), Number(b, _)) => within(a - b, range),
                ("MOD", Number(a, range), Number(b, _)) => within(a % b, range),
                (operator, a, b) => panic!("{a:?} {operator} {b:?}"),
            };
        }
        left
    }

    fn primary(&self, cursor: &mut Cursor, vars: &BTreeMap<String, Value>) -> Value {
        let word = cursor.next();
        match word.as_str() {
            "NOT" => return Bool(!self.primary(cursor, vars).bool()),
            "TRUE" => return Bool(true),
            "FALSE" => return Bool(false),
            "(" => {
                let value = self.binary(cursor, vars, 0);
                cursor.take(")");
                return value;
            }
            _ => {}
        }
        if let Some(millis) = word.strip_prefix("T#").and_then(|time| time.strip_suffix("ms")) {
            return Number(millis.parse().expect("a time"), ANY);
        }
        if let Some((kind, digits)) = word.split_once("#16#") {
            return Number(i128::from_str_radix(digits, 16).expect("hexadecimal"), if kind == "WORD" { WORD } else { DWORD });
        }
        if let Ok(number) = word.parse() {
            return Number(number, ANY);
        }
        if cursor.peek() == "(" {
            cursor.next();
            let arguments = cursor.arguments();
            return self
                .function(&word, &arguments.iter().map(|(name, value)| (name.as_str(), self.eval(value, vars))).collect::<Vec<_>>());
        }
        let mut value = vars.get(&word).unwrap_or_else(|| panic!("no variable {word}"));
        loop {
            value = match cursor.peek() {
                "." => {
                    cursor.next();
                    value.field(&cursor.next())
                }
                "[" => {
                    cursor.next();
                    let index = cursor.until(&["]"]);
                    cursor.take("]");
                    let index = usize::try_from(self.eval(&index, vars).number()).expect("an index");
                    let Array(values) = value else { panic!("{word} is no array") };
                    values.get(index).unwrap_or_else(|| panic!("{word}[{index}] is outside"))
                }
                _ => return value.clone(),
            };
        }
    }

    fn function(&self, name: &str, arguments: &[(&str, Value)]) -> Value {
        let at = |index: usize| arguments[index].1.clone();
        let range = |index: usize| if let Number(_, range) = at(index) { range } else { panic!("{name} of {arguments:?}") };
        match name {
            "SHL" => Number((at(0).number() << at(1).number()) & range(0).1, range(0)),
            "SHR" => Number(at(0).number() >> at(1).number(), range(0)),
            "WORD_TO_UINT" | "UINT_TO_WORD" => within(at(0).number(), WORD),
            "DWORD_TO_WORD" => Number(at(0).number() & 0xFFFF, WORD),
            "WORD_TO_DWORD" | "DWORD_TO_UDINT" | "UDINT_TO_DWORD" => within(at(0).number(), DWORD),
            _ => {
                let mut instance = self.fresh(&[name.to_owned()]);
                self.call(&mut instance, &mut arguments.to_vec());
                instance.field(name).clone()
            }
        }
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Number(a, _), Number(b, _)) => a == b,
        (Bool(a), Bool(b)) => a == b,
        _ => panic!("{a:?} compared with {b:?}"),
    }
}

fn within(value: i128, range: (i128, i128)) -> Value {
    assert!((range.0..=range.1).contains(&value), "{value} leaves the range {range:?}");
    Number(value, range)
}

/// A word array for the blocks.
pub fn words(words: &[u16]) -> Value {
    Array(words.iter().map(|word| Number(i128::from(*word), WORD)).collect())
}
