//! The door to ONNX files: the few messages of `onnx.proto` that are needed to read a graph, to change it and to write one.
//!
//! ONNX Runtime runs models and tells nothing of their inside. Who cuts a graph or makes one needs its nodes; that is here,
//! without a code generator. [`Model`] holds a [`Graph`] of [`Node`]s, [`Tensor`]s and [`Port`]s.
//!
//! Invariants: every field that is not named here is kept and written again; a file that is no ONNX is an error that says
//! where; numbers of tensors are read only if there are as many as their dimensions say.
//! Source of the field numbers: `onnx/onnx.proto` of ONNX, IR version 4 to 12.

mod attribute;
mod tensor;
pub mod wire;

pub use attribute::{Attribute, Setting};
pub use tensor::{Element, Tensor};

use std::fmt;
use wire::Field;

/// Why a file is no ONNX model that can be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnnxError(String);

impl OnnxError {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for OnnxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OnnxError {}

/// `ModelProto`.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// What it computes.
    pub graph: Graph,
    /// Version, operator sets, producer and whatever else the file holds.
    rest: Vec<Field>,
}

/// `GraphProto`: nodes in an order in which they can be computed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Graph {
    /// Its name.
    pub name: String,
    /// What is computed.
    pub nodes: Vec<Node>,
    /// Numbers that are known beforehand.
    pub initializers: Vec<Tensor>,
    /// What goes in.
    pub inputs: Vec<Port>,
    /// What comes out.
    pub outputs: Vec<Port>,
    rest: Vec<Field>,
}

/// `NodeProto`: one operator. Values have names; an empty input is left out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Node {
    /// Name of the operator.
    pub op: String,
    /// Names of the values that go in.
    pub inputs: Vec<String>,
    /// Names of the values that come out.
    pub outputs: Vec<String>,
    /// Its settings.
    pub attributes: Vec<Attribute>,
    rest: Vec<Field>,
}

/// `ValueInfoProto` of a tensor: a name, the kind of its elements and its dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub element: Element,
    /// Its dimensions, outermost first.
    pub dims: Vec<Dim>,
    rest: Vec<Field>,
}

/// A dimension of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dim {
    /// Always so many.
    Fixed(i64),
    /// May vary, under this name (or none).
    Named(String),
}

impl Model {
    /// A model of IR version 8 around a graph of operators of this version of the ONNX operator set.
    #[must_use]
    pub fn new(graph: Graph, opset: i64) -> Self {
        let set = wire::write(&[Field::bytes(1, ""), Field::whole(2, opset)]);
        Self { graph, rest: vec![Field::whole(1, 8), Field::bytes(2, "jidoka"), Field::bytes(8, set)] }
    }

    /// Reads a file's bytes.
    ///
    /// # Errors
    /// If it is no ONNX, or has no graph.
    pub fn read(bytes: &[u8]) -> Result<Self, OnnxError> {
        let (graph, rest): (Vec<Field>, _) = wire::read(bytes, "the model")?.into_iter().partition(|field| field.number == 7);
        let [graph] = graph.as_slice() else { return Err(OnnxError::new("the model has no graph; this is no ONNX file")) };
        Ok(Self { graph: Graph::read(graph.message("the graph")?)?, rest })
    }

    /// The bytes of the file.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut fields = self.rest.clone();
        fields.push(Field::bytes(7, self.graph.write()));
        wire::write(&fields)
    }
}

impl Graph {
    fn read(fields: Vec<Field>) -> Result<Self, OnnxError> {
        let mut graph = Self::default();
        for field in fields {
            match field.number {
                1 => graph.nodes.push(Node::read(field.message("a node")?)?),
                2 => graph.name = field.text("the graph's name")?,
                5 => graph.initializers.push(Tensor::read(field.message("an initializer")?)?),
                11 => graph.inputs.push(Port::read(field.message("an input")?)?),
                12 => graph.outputs.push(Port::read(field.message("an output")?)?),
                _ => graph.rest.push(field),
            }
        }
        Ok(graph)
    }

    fn write(&self) -> Vec<u8> {
        let mut fields: Vec<Field> = self.nodes.iter().map(|node| Field::bytes(1, node.write())).collect();
        fields.push(Field::bytes(2, self.name.as_str()));
        fields.extend(self.initializers.iter().map(|tensor| Field::bytes(5, tensor.write())));
        fields.extend(self.inputs.iter().map(|port| Field::bytes(11, port.write())));
        fields.extend(self.outputs.iter().map(|port| Field::bytes(12, port.write())));
        fields.extend(self.rest.iter().cloned());
        wire::write(&fields)
    }

    /// The node that computes a value, if one does.
    #[must_use]
    pub fn producer(&self, value: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.outputs.iter().any(|output| output == value))
    }

    /// The numbers of a value that is known beforehand: an initializer, or the output of a `Constant` node.
    #[must_use]
    pub fn constant(&self, value: &str) -> Option<&Tensor> {
        if let Some(tensor) = self.initializers.iter().find(|tensor| tensor.name == value) {
            return Some(tensor);
        }
        let node = self.producer(value).filter(|node| node.op == "Constant")?;
        match node.attribute("value") {
            Some(Setting::Tensor(tensor)) => Some(tensor),
            _ => None,
        }
    }

    /// Removes nodes and initializers that no output needs, and what was said of the shapes of inner values.
    pub fn prune(&mut self) {
        let mut needed: std::collections::BTreeSet<String> = self.outputs.iter().map(|port| port.name.clone()).collect();
        let mut kept: Vec<Node> = Vec::new();
        // Nodes stand in an order in which they can be computed, so who needs a value comes after who makes it.
        for node in self.nodes.drain(..).rev() {
            if node.outputs.iter().any(|output| needed.contains(output)) {
                needed.extend(node.inputs.iter().filter(|input| !input.is_empty()).cloned());
                kept.push(node);
            }
        }
        kept.reverse();
        self.nodes = kept;
        self.initializers.retain(|tensor| needed.contains(&tensor.name));
        // `value_info`
        self.rest.retain(|field| field.number != 13);
    }
}

impl Node {
    /// An operator without settings.
    #[must_use]
    pub fn new(op: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self { op: op.to_owned(), inputs: names(inputs), outputs: names(outputs), ..Self::default() }
    }

    /// The same with one more setting.
    #[must_use]
    pub fn with(mut self, name: &str, value: Setting) -> Self {
        self.attributes.push(Attribute { name: name.to_owned(), value });
        self
    }

    /// A setting by its name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Setting> {
        self.attributes.iter().find(|attribute| attribute.name == name).map(|attribute| &attribute.value)
    }

    /// An integer setting by its name.
    #[must_use]
    pub fn whole(&self, name: &str) -> Option<i64> {
        if let Some(Setting::Whole(value)) = self.attribute(name) { Some(*value) } else { None }
    }

    fn read(fields: Vec<Field>) -> Result<Self, OnnxError> {
        let mut node = Self::default();
        for field in fields {
            match field.number {
                1 => node.inputs.push(field.text("an input of a node")?),
                2 => node.outputs.push(field.text("an output of a node")?),
                4 => node.op = field.text("the operator of a node")?,
                5 => node.attributes.push(Attribute::read(field.message("an attribute")?)?),
                _ => node.rest.push(field),
            }
        }
        Ok(node)
    }

    fn write(&self) -> Vec<u8> {
        let mut fields: Vec<Field> = self.inputs.iter().map(|name| Field::bytes(1, name.as_str())).collect();
        fields.extend(self.outputs.iter().map(|name| Field::bytes(2, name.as_str())));
        fields.push(Field::bytes(4, self.op.as_str()));
        fields.extend(self.attributes.iter().map(|attribute| Field::bytes(5, attribute.write())));
        fields.extend(self.rest.iter().cloned());
        wire::write(&fields)
    }
}

impl Port {
    /// A port of 32-bit floats.
    #[must_use]
    pub fn floats(name: &str, dims: Vec<Dim>) -> Self {
        Self { name: name.to_owned(), element: Element::Float, dims, rest: Vec::new() }
    }

    /// The dimensions, if none of them varies.
    #[must_use]
    pub fn fixed(&self) -> Option<Vec<i64>> {
        self.dims.iter().map(|dim| if let Dim::Fixed(size) = dim { Some(*size) } else { None }).collect()
    }

    fn read(fields: Vec<Field>) -> Result<Self, OnnxError> {
        let mut port = Self { name: String::new(), element: Element::Other(0), dims: Vec::new(), rest: Vec::new() };
        for field in fields {
            match field.number {
                1 => port.name = field.text("the name of a port")?,
                2 => port.read_type(&field)?,
                _ => port.rest.push(field),
            }
        }
        Ok(port)
    }

    /// Sequences, maps and sparse tensors are no inputs and outputs of a model that looks at pictures: they are refused.
    fn read_type(&mut self, field: &Field) -> Result<(), OnnxError> {
        let place = "the type of a port";
        let kinds = field.message(place)?;
        let tensor = kinds.iter().find(|kind| kind.number == 1).ok_or_else(|| OnnxError::new("a port is not a tensor"))?;
        for field in tensor.message(place)? {
            match field.number {
                1 => self.element = Element::of(field.as_whole().unwrap_or(0)),
                2 => {
                    let dims = field.message(place)?;
                    let dims = dims.iter().filter(|dim| dim.number == 1);
                    self.dims = dims.map(|dim| Dim::read(dim.message(place)?)).collect::<Result<_, _>>()?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn write(&self) -> Vec<u8> {
        let dims: Vec<Field> = self.dims.iter().map(|dim| Field::bytes(1, dim.write())).collect();
        let tensor = wire::write(&[Field::whole(1, self.element.code()), Field::bytes(2, wire::write(&dims))]);
        let mut fields = vec![Field::bytes(1, self.name.as_str()), Field::bytes(2, wire::write(&[Field::bytes(1, tensor)]))];
        fields.extend(self.rest.iter().cloned());
        wire::write(&fields)
    }
}

impl Dim {
    fn read(fields: Vec<Field>) -> Result<Self, OnnxError> {
        for field in fields {
            match field.number {
                1 => return Ok(Self::Fixed(field.as_whole().unwrap_or(0))),
                2 => return Ok(Self::Named(field.text("the name of a dimension")?)),
                _ => {}
            }
        }
        Ok(Self::Named(String::new()))
    }

    fn write(&self) -> Vec<u8> {
        match self {
            Self::Fixed(size) => wire::write(&[Field::whole(1, *size)]),
            Self::Named(name) if name.is_empty() => Vec::new(),
            Self::Named(name) => wire::write(&[Field::bytes(2, name.as_str())]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_was_written_is_read_again_with_all_it_has() {
        let dims = || vec![Dim::Fixed(1), Dim::Named("n".to_owned()), Dim::Named(String::new())];
        let mut graph = Graph { name: "g".to_owned(), inputs: vec![Port::floats("x", dims())], ..Graph::default() };
        graph.outputs.push(Port::floats("y", dims()));
        graph.initializers.push(Tensor::floats("w", &[2, 2], &[1.0, -2.0, 0.5, f32::MAX]));
        graph.initializers.push(Tensor::wholes("s", &[2], &[-1, i64::MAX]));
        let node = Node::new("Conv", &["x", "", "w"], &["y"])
            .with("pads", Setting::Wholes(vec![1, 1, -1, 0]))
            .with("alpha", Setting::Real(0.25))
            .with("axis", Setting::Whole(-1))
            .with("mode", Setting::Text("linear".to_owned()))
            .with("value", Setting::Tensor(Tensor::floats("", &[1], &[3.5])))
            .with("scales", Setting::Reals(vec![1.0, 2.0]));
        graph.nodes.push(node);
        let mut model = Model::new(graph, 17);
        model.rest.push(Field::bytes(14, "a field that nobody knows"));
        assert_eq!(Model::read(&model.write()).unwrap(), model);
        assert!(Model::read(b"not onnx at all").is_err());
        assert!(Model::read(b"").unwrap_err().to_string().contains("no graph"));
    }

    #[test]
    fn what_no_output_needs_is_removed() {
        let mut graph = Graph { outputs: vec![Port::floats("b", vec![])], ..Graph::default() };
        graph.initializers = vec![Tensor::floats("w", &[1], &[1.0]), Tensor::floats("v", &[1], &[1.0])];
        graph.nodes = vec![
            Node::new("Relu", &["x"], &["a"]),
            Node::new("Mul", &["a", "v"], &["dead"]),
            Node::new("Add", &["a", "w"], &["b"]),
            Node::new("Sigmoid", &["dead"], &["c"]),
        ];
        graph.prune();
        let ops: Vec<&str> = graph.nodes.iter().map(|node| node.op.as_str()).collect();
        assert_eq!(ops, ["Relu", "Add"]);
        assert_eq!(graph.initializers.len(), 1);
    }
}
