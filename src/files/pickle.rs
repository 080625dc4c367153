//! Python pickles as data, for PyTorch's files: no class is imported, no function is called.
//!
//! A pickle is a program for a small stack machine. Here its calls become nodes that say what would be called with
//! what. All nodes lie in one list and refer to each other by number, so that a pickle of any origin, however nested
//! or entangled, takes memory in proportion to its length, and no recursion. candle's own reader of pickles copies
//! shared values, skips what it does not know with a line on the terminal, and panics on some malformed files.
use std::collections::BTreeMap;

/// The longest pickle that is read, in bytes. Each tensor of a checkpoint takes about 200.
const LONGEST: usize = 1 << 25;

/// A value: a small one itself, or the number of its node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// A number that is no integer of 64 bits.
    Number,
    Node(usize),
}

/// A larger value.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    /// A class or a function, by its module and its name.
    Global(String, String),
    /// A tuple, a list or a set.
    Sequence(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// What a call returns, with the items that were put into it afterwards.
    Call {
        callable: Value,
        args: Value,
        items: Vec<(Value, Value)>,
    },
    /// Something that is kept outside of the pickle.
    Persistent(Value),
}

/// The content of a pickle.
pub(super) struct Pickle {
    nodes: Vec<Node>,
    /// The value that was pickled.
    pub(super) top: Value,
}

/// Why a pickle cannot be read that ends too early.
pub(super) const CUT_SHORT: &str = "its pickle is cut short";

impl Pickle {
    /// Reads a pickle of protocol 2 to 5, and its length in bytes. Others may follow it.
    pub(super) fn parse(bytes: &[u8]) -> Result<(Self, usize), String> {
        let start = bytes.get(..LONGEST).unwrap_or(bytes);
        let mut machine = Machine { rest: start, ..Machine::default() };
        while machine.step().map_err(|why| match why == CUT_SHORT && start.len() < bytes.len() {
            true => format!("its pickle takes more than {LONGEST} bytes, but at most these are read"),
            false => why,
        })? {}
        let top = machine.pop()?;
        let length = start.len() - machine.rest.len();
        Ok((Self { nodes: machine.nodes, top }, length))
    }

    /// What is kept outside of the pickle, as the pickle describes it.
    pub(super) fn persistent(&self) -> impl Iterator<Item = Value> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Persistent(id) => Some(*id),
            _ => None,
        })
    }

    pub(super) fn node(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(at) => self.nodes.get(at),
            _ => None,
        }
    }

    pub(super) fn text(&self, value: Value) -> Option<&str> {
        match self.node(value)? {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn global(&self, value: Value) -> Option<(&str, &str)> {
        match self.node(value)? {
            Node::Global(module, name) => Some((module, name)),
            _ => None,
        }
    }

    pub(super) fn sequence(&self, value: Value) -> Option<&[Value]> {
        match self.node(value)? {
            Node::Sequence(values) => Some(values),
            _ => None,
        }
    }

    /// The items of a dictionary, an ordered or a default one included.
    pub(super) fn dict(&self, value: Value) -> Option<&[(Value, Value)]> {
        match self.node(value)? {
            Node::Dict(items) => Some(items),
            Node::Call { callable, items, .. } => match self.global(*callable)? {
                ("collections", "OrderedDict" | "defaultdict") => Some(items),
                _ => None,
            },
            _ => None,
        }
    }

    /// The callable and the arguments of a call.
    pub(super) fn call(&self, value: Value) -> Option<((&str, &str), &[Value])> {
        match self.node(value)? {
            Node::Call { callable, args, .. } => Some((self.global(*callable)?, self.sequence(*args)?)),
            _ => None,
        }
    }
}

/// The stack machine.
#[derive(Default)]
struct Machine<'a> {
    rest: &'a [u8],
    nodes: Vec<Node>,
    stack: Vec<Value>,
    /// The heights of the stack at the marks.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Value>,
}

impl<'a> Machine<'a> {
    /// Carries out one instruction. Returns whether there are more.
    fn step(&mut self) -> Result<bool, String> {
        let [code] = self.array()?;
        match code {
            b'.' => return Ok(false),
            // The protocol, and the length of what follows.
            0x80 => _ = self.array::<1>()?,
            0x95 => _ = self.array::<8>()?,
            b'(' => self.marks.push(self.stack.len()),
            b'0' if self.marks.last() == Some(&self.stack.len()) => _ = self.marks.pop(),
            b'0' => _ = self.pop()?,
            b'1' => _ = self.pop_to_mark()?,
            b'2' => {
                let top = self.last()?;
                self.stack.push(top);
            }
            b'N' => self.stack.push(Value::None),
            0x88 | 0x89 => self.stack.push(Value::Bool(code == 0x88)),
            b'J' | b'K' | b'M' | 0x8a | 0x8b => self.integer(code)?,
            b'G' => {
                self.array::<8>()?;
                self.stack.push(Value::Number);
            }
            b'X' | b'U' | b'T' | b'C' | b'B' | 0x8c | 0x8d | 0x8e | 0x96 => {
                let length = match code {
                    b'U' | b'C' | 0x8c => self.unsigned::<1>()?,
                    b'X' | b'T' | b'B' => self.unsigned::<4>()?,
                    _ => self.unsigned::<8>()?,
                };
                let text = String::from_utf8_lossy(self.take(length)?).into_owned();
                self.push(Node::Text(text));
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Node::Global(module, name));
            }
            0x93 => {
                let (name, module) = (self.pop_text()?, self.pop_text()?);
                self.push(Node::Global(module, name));
            }
            b'q' => self.remember(|machine| machine.unsigned::<1>())?,
            b'r' => self.remember(|machine| machine.unsigned::<4>())?,
            0x94 => self.remember(|machine| Ok(machine.memo.len() as u64))?,
            b'h' => self.recall::<1>()?,
            b'j' => self.recall::<4>()?,
            b')' | b']' | 0x8f => self.push(Node::Sequence(vec![])),
            b't' | b'l' | 0x91 => {
                let values = self.pop_to_mark()?;
                self.push(Node::Sequence(values));
            }
            0x85..=0x87 => {
                let mut values: Vec<_> = (0x85..=code).map(|_| self.pop()).collect::<Result<_, _>>()?;
                values.reverse();
                self.push(Node::Sequence(values));
            }
            b'a' | b'e' | 0x90 => {
                let values = if code == b'a' { vec![self.pop()?] } else { self.pop_to_mark()? };
                // A list of a class of its own has no items here.
                if let Node::Sequence(all) = self.last_node()? {
                    all.extend(values);
                }
            }
            b'}' => self.push(Node::Dict(vec![])),
            b'd' => {
                let items = pairs(&self.pop_to_mark()?);
                self.push(Node::Dict(items));
            }
            b's' | b'u' => {
                let values = if code == b's' {
                    let value = self.pop()?;
                    vec![self.pop()?, value]
                } else {
                    self.pop_to_mark()?
                };
                match self.last_node()? {
                    Node::Dict(items) | Node::Call { items, .. } => items.extend(pairs(&values)),
                    _ => return Err("its pickle puts items into something that has none".into()),
                }
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Node::Persistent(id));
            }
            b'R' | 0x81 | 0x92 => {
                if code == 0x92 {
                    self.pop()?; // named arguments
                }
                let args = self.pop()?;
                let callable = self.pop()?;
                self.push(Node::Call { callable, args, items: vec![] });
            }
            // The attributes of an object, which is left as it is.
            b'b' => _ = self.pop()?,
            other => {
                return Err(format!("its pickle has the instruction {other:#04x}, which is not known here"))
            }
        }
        Ok(true)
    }

    fn integer(&mut self, code: u8) -> Result<(), String> {
        let value = match code {
            b'J' => i64::from(i32::from_le_bytes(self.array()?)),
            b'K' => self.unsigned::<1>()? as i64,
            b'M' => self.unsigned::<2>()? as i64,
            _ => {
                let length = if code == 0x8a { self.unsigned::<1>()? } else { self.unsigned::<4>()? };
                let bytes = self.take(length)?;
                let sign = if bytes.last().is_some_and(|last| *last >= 0x80) { 0xff } else { 0 };
                let mut all = [sign; 8];
                match all.get_mut(..bytes.len()) {
                    Some(start) => start.copy_from_slice(bytes),
                    None => {
                        // Such as a seed of 64 bits without a sign.
                        self.stack.push(Value::Number);
                        return Ok(());
                    }
                }
                i64::from_le_bytes(all)
            }
        };
        self.stack.push(Value::Int(value));
        Ok(())
    }

    fn push(&mut self, node: Node) {
        self.stack.push(Value::Node(self.nodes.len()));
        self.nodes.push(node);
    }

    fn pop(&mut self) -> Result<Value, String> {
        let bottom = self.marks.last().copied().unwrap_or_default();
        match self.stack.len() > bottom {
            true => self.stack.pop().ok_or_else(empty),
            false => Err(empty()),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, String> {
        let mark = self.marks.pop().ok_or("its pickle has no mark where one is needed")?;
        Ok(self.stack.split_off(mark))
    }

    fn pop_text(&mut self) -> Result<String, String> {
        match self.pop()? {
            Value::Node(at) => match self.nodes.get(at) {
                Some(Node::Text(text)) => Ok(text.clone()),
                _ => Err("its pickle names a class by something other than a text".into()),
            },
            _ => Err("its pickle names a class by something other than a text".into()),
        }
    }

    fn last(&self) -> Result<Value, String> {
        self.stack.last().copied().ok_or_else(empty)
    }

    fn last_node(&mut self) -> Result<&mut Node, String> {
        match self.last()? {
            Value::Node(at) => self.nodes.get_mut(at).ok_or_else(empty),
            _ => Err("its pickle puts items into something that has none".into()),
        }
    }

    fn remember(&mut self, key: impl FnOnce(&mut Self) -> Result<u64, String>) -> Result<(), String> {
        let (key, value) = (key(self)?, self.last()?);
        self.memo.insert(key as u32, value);
        Ok(())
    }

    fn recall<const N: usize>(&mut self) -> Result<(), String> {
        let key = self.unsigned::<N>()?;
        let value =
            self.memo.get(&(key as u32)).ok_or("its pickle refers to a value that it does not have")?;
        self.stack.push(*value);
        Ok(())
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], String> {
        let split = usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length));
        let (taken, rest) = split.ok_or(CUT_SHORT)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(CUT_SHORT)?;
        self.rest = rest;
        Ok(*array)
    }

    /// An integer of `N` bytes, at most 8.
    fn unsigned<const N: usize>(&mut self) -> Result<u64, String> {
        Ok(self.array::<N>()?.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn line(&mut self) -> Result<String, String> {
        let end = self.rest.iter().position(|byte| *byte == b'\n').ok_or(CUT_SHORT)?;
        let line = self.take(end as u64)?;
        self.array::<1>()?;
        Ok(String::from_utf8_lossy(line).into_owned())
    }
}

fn empty() -> String {
    "its pickle takes a value from an empty stack".into()
}

fn pairs(values: &[Value]) -> Vec<(Value, Value)> {
    values.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(bytes: &[u8]) -> String {
        Pickle::parse(bytes).err().unwrap()
    }

    /// `pickle.dumps({"a": (1, -2, 300, 2**40), "b": [None, True, 1.5]}, protocol)`, by Python 3.12.
    #[test]
    fn pickles_of_python_are_read() {
        let of_protocol_2: &[u8] = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01(K\x01J\xfe\xff\xff\xffM,\x01\x8a\x06\
            \x00\x00\x00\x00\x00\x01tq\x02X\x01\x00\x00\x00bq\x03]q\x04(N\x88G?\xf8\x00\x00\x00\x00\x00\x00eu.";
        let of_protocol_4: &[u8] = b"\x80\x04\x950\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94(K\x01J\xfe\xff\
            \xff\xffM,\x01\x8a\x06\x00\x00\x00\x00\x00\x01t\x94\x8c\x01b\x94]\x94(N\x88G?\xf8\x00\x00\x00\x00\x00\
            \x00eu.";
        for bytes in [of_protocol_2, of_protocol_4] {
            let (pickle, length) = Pickle::parse(bytes).unwrap();
            assert_eq!(length, bytes.len());
            let [(a, numbers), (b, list)] = pickle.dict(pickle.top).unwrap() else { panic!() };
            assert_eq!((pickle.text(*a), pickle.text(*b)), (Some("a"), Some("b")));
            let ints = [1, -2, 300, 1 << 40].map(Value::Int);
            assert_eq!(pickle.sequence(*numbers).unwrap(), ints);
            assert_eq!(pickle.sequence(*list).unwrap(), [Value::None, Value::Bool(true), Value::Number]);
            for end in 0..bytes.len() {
                assert!(Pickle::parse(&bytes[..end]).is_err(), "{end}");
            }
        }
    }

    /// `pickle.dumps(OrderedDict([("w", 1)]), 2)`, and a call of `os.system`, which is not carried out.
    #[test]
    fn calls_are_data() {
        let ordered = b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01X\x01\x00\x00\x00wq\x02K\x01s.";
        let (pickle, _) = Pickle::parse(ordered).unwrap();
        let [(key, value)] = pickle.dict(pickle.top).unwrap() else { panic!() };
        assert_eq!((pickle.text(*key), *value), (Some("w"), Value::Int(1)));
        let system = b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00exit\x85R.";
        let (pickle, _) = Pickle::parse(system).unwrap();
        let (callable, args) = pickle.call(pickle.top).unwrap();
        assert_eq!((callable, pickle.text(args[0])), (("posix", "system"), Some("exit")));
        assert!(pickle.dict(pickle.top).is_none());
    }

    /// `pickle.dumps(2**64 - 1, 2)`, `pickle.dumps(-2**100, 2)`, and `pickle.dumps(bytearray(b"ab"), 5)`, with what follows.
    #[test]
    fn long_integers_and_arrays_of_bytes_are_left_and_what_follows_is_not_read() {
        let seed = b"\x80\x02\x8a\t\xff\xff\xff\xff\xff\xff\xff\xff\x00.";
        let long = b"\x80\x02\x8a\r\0\0\0\0\0\0\0\0\0\0\0\0\xf0.";
        for bytes in [&seed[..], long] {
            let (pickle, length) = Pickle::parse(&[bytes, b"\x80\x02N."].concat()).unwrap();
            assert_eq!((pickle.top, length), (Value::Number, bytes.len()));
        }
        let array = b"\x80\x05\x95\r\0\0\0\0\0\0\0\x96\x02\0\0\0\0\0\0\0ab\x94.";
        let (pickle, _) = Pickle::parse(array).unwrap();
        assert_eq!(pickle.text(pickle.top), Some("ab"));
    }

    #[test]
    fn malformed_pickles_are_refused_without_a_large_allocation() {
        assert!(why(b"\x80\x02X\xff\xff\xff\xffabc.").contains("cut short"));
        assert!(why(b"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\x7fa.").contains("cut short"));
        assert!(why(b".").contains("empty stack") && why(b"(0R.").contains("empty stack"));
        assert!(why(b"N(R.").contains("empty stack"), "below a mark");
        assert!(why(b"t.").contains("no mark") && why(b"h\x05.").contains("does not have"));
        assert!(why(b"NNNs.").contains("puts items") && why(b"\xf0.").contains("0xf0"));
        assert!(why(&vec![b'N'; LONGEST + 1]).contains("at most"));
        // Lists of lists, each twice in the next: 2^100 values if they were copied; and a deep one.
        let mut shared = b"]".to_vec();
        (0..100).for_each(|_| shared.extend_from_slice(b"2\x86"));
        assert!(Pickle::parse(&[&shared[..], b"."].concat()).is_ok());
        let mut deep = vec![b')'];
        deep.resize(1_000_000, 0x85);
        deep.push(b'.');
        assert!(Pickle::parse(&deep).is_ok());
    }
}
