//! The text into steps.

#[derive(Debug, Clone)]
pub enum Step {
    Assign(Vec<String>, Vec<String>),
    Call(String, Vec<(String, Vec<String>)>),
    If(Vec<(Vec<String>, Vec<Step>)>, Vec<Step>),
    For(String, Vec<String>, Vec<String>, Vec<Step>),
    While(Vec<String>, Vec<Step>),
}

#[derive(Debug, Clone, Default)]
pub struct Block {
    /// Name, type and first value.
    pub vars: Vec<(String, Vec<String>, Vec<String>)>,
    pub in_out: Vec<String>,
    pub body: Vec<Step>,
}

pub fn tokens(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("(*") {
            rest = rest.split_once("*)").expect("a comment ends").1;
            continue;
        } else if first.is_whitespace() {
            rest = &rest[1..];
            continue;
        } else if first.is_ascii_alphanumeric() || first == '_' || first == '%' {
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_#%".contains(c))).unwrap_or(rest.len())
        } else if [":=", "<>", "<=", ">=", ".."].iter().any(|two| rest.starts_with(two)) {
            2
        } else {
            1
        };
        out.push(rest[..length].to_owned());
        rest = &rest[length..];
    }
    out
}

/// Words, and the next one.
pub struct Cursor(pub Vec<String>, pub usize);

impl Cursor {
    pub fn peek(&self) -> &str {
        self.0.get(self.1).map_or("", String::as_str)
    }

    pub fn next(&mut self) -> String {
        self.1 += 1;
        self.0[self.1 - 1].clone()
    }

    pub fn take(&mut self, word: &str) {
        let next = self.next();
        assert_eq!(next, word, "near {:?}", &self.0[self.1.saturating_sub(8)..self.1]);
    }

    /// Everything up to one of `ends` outside of brackets.
    pub fn until(&mut self, ends: &[&str]) -> Vec<String> {
        let (mut out, mut depth) = (Vec::new(), 0);
        while depth > 0 || !ends.contains(&self.peek()) {
            let next = self.next();
            depth += i32::from(next == "(" || next == "[") - i32::from(next == ")" || next == "]");
            out.push(next);
        }
        out
    }

    pub fn steps(&mut self, ends: &[&str]) -> Vec<Step> {
        let mut out = Vec::new();
        while !ends.contains(&self.peek()) {
            out.push(self.step());
        }
        out
    }

    fn step(&mut self) -> Step {
        match self.peek() {
            "IF" => {
                let (mut arms, mut other) = (Vec::new(), Vec::new());
                while ["IF", "ELSIF"].contains(&self.peek()) {
                    self.next();
                    let condition = self.until(&["THEN"]);
                    self.take("THEN");
                    arms.push((condition, self.steps(&["ELSIF", "ELSE", "END_IF"])));
                }
                if self.peek() == "ELSE" {
                    self.next();
                    other = self.steps(&["END_IF"]);
                }
                self.take("END_IF");
                self.take(";");
                Step::If(arms, other)
            }
            "FOR" => {
                self.next();
                let name = self.next();
                self.take(":=");
                let from = self.until(&["TO"]);
                self.take("TO");
                let to = self.until(&["DO"]);
                self.take("DO");
                let body = self.steps(&["END_FOR"]);
                self.take("END_FOR");
                self.take(";");
                Step::For(name, from, to, body)
            }
            "WHILE" => {
                self.next();
                let condition = self.until(&["DO"]);
                self.take("DO");
                let body = self.steps(&["END_WHILE"]);
                self.take("END_WHILE");
                self.take(";");
                Step::While(condition, body)
            }
            _ => {
                let target = self.until(&[":=", "("]);
                if self.next() == "(" {
                    let arguments = self.arguments();
                    self.take(";");
                    return Step::Call(target.concat(), arguments);
                }
                let value = self.until(&[";"]);
                self.take(";");
                Step::Assign(target, value)
            }
        }
    }

    /// After the opening bracket; without a name if they come by position.
    pub fn arguments(&mut self) -> Vec<(String, Vec<String>)> {
        let mut out = Vec::new();
        while self.peek() != ")" {
            let named = self.0.get(self.1 + 1).is_some_and(|next| next == ":=");
            let name = if named { self.next() } else { String::new() };
            if named {
                self.take(":=");
            }
            out.push((name, self.until(&[",", ")"])));
            if self.peek() == "," {
                self.next();
            }
        }
        self.take(")");
        out
    }
}
