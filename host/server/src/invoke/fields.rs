//! Checks a caller's fields against a walker's definition, and fills in the defaults.
//!
//! Values pass through as the caller wrote them; only their order becomes the definition's. Knows nothing of threads: what
//! checking may cost, its caller says.

mod given;
mod schema;
mod steps;

use serde_json::Value;
use walker_model::{Definition, Json};

use self::given::Given;
use self::schema::{Schema, shorten};
pub(super) use self::steps::OutOfSteps;
use super::Error;

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// RFC 6901 pointer into the caller's JSON.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}

/// More problems than anybody reads.
const MAX_PROBLEMS: usize = 20;

/// How much checking may cost, in steps of some ten nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// What nobody notices who is answered by the same thread: a fraction of a millisecond.
    Little,
    /// What the fields' size explains. An array of numbers takes two steps for a number, which has two bytes or more; and a
    /// small value may be held to some thousand schemas.
    All,
}

impl Effort {
    fn steps(self, bytes: usize) -> u64 {
        match self {
            Self::Little => 20_000,
            Self::All => 1_000_000 + 4 * bytes as u64,
        }
    }
}

/// The checks of a walker's fields, made once for each version.
#[derive(Debug)]
pub(crate) struct Fields {
    walker: String,
    fields: Vec<FieldCheck>,
}

#[derive(Debug)]
struct FieldCheck {
    name: String,
    default: Option<Json>,
    /// `None` for a schema that this host cannot read, or will not: then the guest alone checks.
    schema: Option<Schema>,
    integer: Option<Integer>,
}

/// Integer ranges that JSON Schema leaves to `format`.
#[derive(Debug, Clone, Copy)]
enum Integer {
    Signed,
    Unsigned,
}

impl Fields {
    /// The checks for a definition. Takes a while for large schemas.
    pub(crate) fn of(definition: &Definition) -> Self {
        // Others are refused at upload; these came before that.
        let is_bounded = definition.check_schemas().is_ok();
        let fields = definition.fields.iter().map(|field| {
            let schema: Option<Value> = serde_json::from_str(field.schema.as_str()).ok();
            let integer = schema.as_ref().filter(|schema| schema["type"] == "integer").map(|schema| {
                if schema["format"].as_str().is_some_and(|format| format.starts_with("uint")) {
                    Integer::Unsigned
                } else {
                    Integer::Signed
                }
            });
            let schema = schema.filter(|_| is_bounded).and_then(|schema| Schema::of(&schema));
            FieldCheck { name: field.name.clone(), default: field.default.clone(), schema, integer }
        });
        Self { walker: definition.name.clone(), fields: fields.collect() }
    }

    /// About what the checks take of memory, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.fields.iter().filter_map(|field| field.schema.as_ref()).map(|schema| schema.bytes).sum()
    }

    /// The complete fields: the caller's, and defaults for those left out.
    ///
    /// # Errors
    /// What is wrong with them, if that took no more than `effort`.
    pub(crate) fn check(
        &self,
        given: Option<&Json>,
        max_bytes: u64,
        effort: Effort,
    ) -> Result<Result<Json, Error>, OutOfSteps> {
        let text = given.map_or("{}", Json::as_str);
        let given = match Given::of(text, &self.fields) {
            Ok(given) => given,
            Err(malformed) => return Ok(Err(malformed)),
        };
        let fields: Vec<(&FieldCheck, Option<&str>)> = self.fields.iter().zip(given.values).collect();
        // First of all, since everything else costs more where there is more.
        let bytes: usize = fields.iter().map(|(field, value)| field.bytes(*value)).sum::<usize>() + 1;
        if bytes as u64 > max_bytes {
            let detail = format!("the fields take {bytes} bytes; at most {max_bytes} are allowed");
            return Ok(Err(Error::Fields(vec![FieldProblem { pointer: String::new(), detail }])));
        }
        let mut problems = Vec::new();
        let mut left = effort.steps(bytes);
        let mut out = String::with_capacity(bytes);
        for (at, (field, value)) in fields.into_iter().enumerate() {
            if given.twice.contains(&at) {
                problems.push(field.problem("", "is given more than once".into()));
            }
            let value = match (value, &field.default) {
                (Some(value), _) => {
                    let found = match field.check(value, effort, &mut left) {
                        Ok(found) => found,
                        Err(out) if effort == Effort::Little => return Err(out),
                        Err(OutOfSteps) => vec![field.problem("", too_much())],
                    };
                    problems.extend(found);
                    value
                }
                (None, Some(default)) => default.as_str(),
                (None, None) => {
                    problems
                        .push(field.problem("", format!("walker {} needs the field {:?}", self.walker, field.name)));
                    continue;
                }
            };
            out.push(if out.is_empty() { '{' } else { ',' });
            out.push_str(&Value::from(field.name.as_str()).to_string());
            out.push(':');
            out.push_str(value);
        }
        out.push_str(if out.is_empty() { "{}" } else { "}" });
        let unknown = given.unknown.into_iter();
        problems.extend(unknown.map(|name| FieldProblem { pointer: pointer(&name), detail: self.unknown(&name) }));
        if !problems.is_empty() {
            problems.truncate(MAX_PROBLEMS);
            return Ok(Err(Error::Fields(problems)));
        }
        Ok(Json::parse(out).map_err(|error| Error::Malformed(format!("the fields are not JSON: {error}"))))
    }

    fn unknown(&self, name: &str) -> String {
        let name = shorten(name);
        if self.fields.is_empty() {
            return format!("walker {} takes no fields; remove {name:?}", self.walker);
        }
        let names: Vec<&str> = self.fields.iter().map(|field| field.name.as_str()).collect();
        format!("walker {} has no field {name:?}; it has {}", self.walker, names.join(", "))
    }
}

impl FieldCheck {
    /// What it takes among the complete fields: quotes, a colon, and a comma or brace.
    fn bytes(&self, given: Option<&str>) -> usize {
        let value = given.or(self.default.as_ref().map(Json::as_str));
        value.map_or(0, |value| self.name.len() + value.len() + 4)
    }

    fn problem(&self, below: &str, detail: String) -> FieldProblem {
        FieldProblem { pointer: format!("{}{below}", pointer(&self.name)), detail }
    }

    fn check(&self, text: &str, effort: Effort, left: &mut u64) -> Result<Vec<FieldProblem>, OutOfSteps> {
        let value: Value = match serde_json::from_str(text) {
            Ok(value) => value,
            // Valid as text, but no program can hold it: half a surrogate pair, a number too large.
            Err(error) => return Ok(vec![self.problem("", format!("cannot be read: {error}"))]),
        };
        if let Some(schema) = &self.schema {
            let found = schema.check(&value, text.len(), effort, left)?;
            if !found.is_empty() {
                let of = |problem: FieldProblem| self.problem(&problem.pointer, problem.detail);
                return Ok(found.into_iter().map(of).collect());
            }
        }
        let unfit = |what: &str| Ok(vec![self.problem("", format!("{} does not fit {what}", shorten(text)))]);
        match self.integer {
            Some(Integer::Signed) if !value.is_i64() => unfit("a 64-bit integer"),
            Some(Integer::Unsigned) if !value.is_u64() => unfit("an unsigned 64-bit integer"),
            _ => Ok(Vec::new()),
        }
    }
}

fn too_much() -> String {
    "takes too long to check by its schema; send less at once, or have the walker's author make the schema simpler"
        .into()
}

fn pointer(name: &str) -> String {
    format!("/{}", shorten(name).replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use walker_model::{Field, Settings};

    use super::*;

    fn fields() -> Fields {
        let field = |name: &str, schema: Value, default: Option<Value>| Field {
            name: name.into(),
            schema: Json::of(&schema),
            default: default.map(|value| Json::of(&value)),
            doc: String::new(),
        };
        Fields::of(&Definition {
            name: "sample".into(),
            doc: String::new(),
            is_async: true,
            is_public: false,
            enters: vec!["Root".into()],
            fields: vec![
                field("value", json!({"type": "integer", "format": "int64"}), Some(json!(0))),
                field("size", json!({"type": "integer", "format": "uint64", "minimum": 0}), Some(json!(1))),
                field("list", json!({"type": "array", "items": {"type": "string"}}), None),
                field("any", json!(true), Some(Value::Null)),
            ],
            settings: Settings::default(),
        })
    }

    fn check(given: &str, expect: Result<&str, &[(&str, &str)]>) {
        let given = Json::parse(given.to_owned()).expect("test input is JSON");
        match (fields().check(Some(&given), 1000, Effort::Little).expect("little is enough"), expect) {
            (Ok(fields), Ok(expect)) => assert_eq!(fields.as_str(), expect),
            (Err(Error::Fields(problems)), Err(expect)) => {
                assert_eq!(problems.len(), expect.len(), "{problems:?}");
                for (problem, (pointer, detail)) in problems.iter().zip(expect) {
                    assert_eq!(problem.pointer, *pointer, "{problem:?}");
                    assert!(problem.detail.contains(detail), "{problem:?}");
                }
            }
            (got, expect) => panic!("{got:?} instead of {expect:?}"),
        }
    }

    #[test]
    fn fills_in_defaults_in_the_definitions_order_and_keeps_values_verbatim() {
        check(r#"{"list":[]}"#, Ok(r#"{"value":0,"size":1,"list":[],"any":null}"#));
        check(r#"{"any": {"b":1,"a":1e400000000000000000000}, "list":[]}"#, Err(&[("/any", "cannot be read")]));
        check(
            r#"{"any": {"b":1.10,"a":"\u0000"}, "list":["x"], "value":7}"#,
            Ok(r#"{"value":7,"size":1,"list":["x"],"any":{"b":1.10,"a":"\u0000"}}"#),
        );
    }

    #[test]
    fn names_every_problem_with_its_place() {
        check("{}", Err(&[("/list", "needs the field")]));
        check(r#"{"list":["a",1],"value":"x"}"#, Err(&[("/value", "integer"), ("/list/1", "string")]));
        check(r#"{"list":[],"valu":1}"#, Err(&[("/valu", "it has value, size, list, any")]));
        check(r#"{"list":[],"a/b~":1}"#, Err(&[("/a~1b~0", "no field")]));
        check(r#"{"list":[],"value":1,"value":2}"#, Err(&[("/value", "more than once")]));
        check(r#"{"list":[],"value":1.0}"#, Err(&[("/value", "64-bit")]));
        check(r#"{"list":[],"value":9223372036854775808}"#, Err(&[("/value", "64-bit")]));
        check(r#"{"list":[],"size":-1}"#, Err(&[("/size", "minimum")]));
        check(r#"{"list":[],"any":"\ud800"}"#, Err(&[("/any", "cannot be read")]));
        let long = format!(r#"{{"list":["{}"]}}"#, "x".repeat(2000));
        check(&long, Err(&[("", "at most 1000")]));
    }

    #[test]
    fn refuses_what_is_no_object() {
        for text in ["[]", "1", "null", r#""x""#] {
            let given = Json::parse(text.to_owned()).expect("test input is JSON");
            assert!(
                matches!(fields().check(Some(&given), 1000, Effort::Little), Ok(Err(Error::Malformed(_)))),
                "{text}"
            );
        }
    }

    /// One field of this schema, as it may have been stored by a host that did not look.
    fn one(schema: Value) -> Fields {
        let field = Field { name: "value".into(), schema: Json::of(&schema), default: None, doc: String::new() };
        let mut fields = fields();
        fields.fields = vec![FieldCheck {
            name: field.name,
            default: None,
            schema: Some(Schema::of(&schema).expect("it can be read")),
            integer: None,
        }];
        fields
    }

    fn problems(schema: Value, value: &str, effort: Effort) -> Result<Vec<FieldProblem>, OutOfSteps> {
        let given = Json::parse(format!("{{\"value\":{value}}}")).expect("test input is JSON");
        match one(schema).check(Some(&given), 64 << 20, effort)? {
            Ok(_) => Ok(Vec::new()),
            Err(Error::Fields(problems)) => Ok(problems),
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Schemas d0, d1, …, each made of references to the next, and the last one.
    fn chain(length: usize, of: impl Fn(Value) -> Value, last: Value) -> Value {
        let next = |at: usize| json!({"$ref": format!("#/$defs/d{at}")});
        let named = (0..length).map(|at| (format!("d{at}"), of(next(at + 1))));
        let named: serde_json::Map<_, _> = named.chain([(format!("d{length}"), last)]).collect();
        json!({"$ref": "#/$defs/d0", "$defs": named})
    }

    #[test]
    fn what_would_take_for_ever_ends_with_its_steps() {
        let nested = |depth: usize, core: &str| format!("{}{core}{}", "[".repeat(depth), "]".repeat(depth));
        let itself = json!({"$ref": "#"});
        let twice = |next: Value| json!({"allOf": [{"items": next}, {"items": next}]});
        let branching = json!({"anyOf": [{"type": "array", "items": itself}, {"type": "array", "items": itself}]});
        let mutual: serde_json::Map<_, _> = (0..20)
            .map(|at| {
                let others = (0..20).filter(|other| *other != at);
                let others: Vec<Value> = others.map(|other| json!({"$ref": format!("#/$defs/m{other}")})).collect();
                (format!("m{at}"), json!({"allOf": others}))
            })
            .collect();
        let words = format!("[{}1]", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",".repeat(20_000));
        let members = (0..20_000).map(|at| format!("\"{at:040}\":1")).collect::<Vec<_>>().join(",");
        let patterns =
            |count: usize| (0..count).map(|at| (format!("{at}$"), json!(true))).collect::<serde_json::Map<_, _>>();
        for (what, schema, value) in [
            ("2^40 at one place", chain(40, |next| json!({"allOf": [next, next]}), json!({})), "1".into()),
            (
                "2^40 that fail early",
                chain(40, |next| json!({"anyOf": [next, next]}), json!({"type": "null"})),
                "1".into(),
            ),
            (
                "2^40 that are not",
                chain(40, |next| json!({"not": {"allOf": [{"not": next}, {"not": next}]}}), json!({"type": "null"})),
                "1".into(),
            ),
            ("2^40 inside", chain(40, twice, json!({})), nested(41, "1")),
            ("2^100 inside, to be told", branching, nested(100, "1")),
            ("20! ways around", json!({"$ref": "#/$defs/m0", "$defs": mutual}), "1".into()),
            (
                "many schemas for many values",
                json!({"items": {"allOf": vec![json!({"maxLength": 40}); 900]}}),
                words.clone(),
            ),
            ("one of many values", json!({"items": {"enum": vec!["a".repeat(31) + "b"; 5_000]}}), words),
            ("many patterns for many names", json!({"patternProperties": patterns(100)}), format!("{{{members}}}")),
            (
                "a large pattern for a long text",
                json!({"pattern": "^([a-z]{1,50}){1,10}$"}),
                format!("\"{}\"", "a".repeat(1 << 20)),
            ),
            ("what is left over, of much", json!({"unevaluatedProperties": true}), format!("{{{members}}}")),
            (
                "contained nowhere",
                json!({"anyOf": vec![json!({"contains": {"type": "null"}}); 900]}),
                format!("[{}1]", "1,".repeat(20_000)),
            ),
        ] {
            assert_eq!(problems(schema.clone(), &value, Effort::Little), Err(OutOfSteps), "{what}");
            let told = problems(schema, &value, Effort::All).expect("all steps end with an answer");
            // Some of it all steps are enough for.
            assert!(told.len() <= 1, "{what}: {told:?}");
        }
    }

    #[test]
    fn millions_of_mistakes_are_one() {
        let many = |value: &str| format!("[{}{value}]", format!("{value},").repeat(1_000_000));
        let numbers = json!({"type": "array", "items": {"type": "number"}});
        let told = problems(numbers.clone(), &many("\"\""), Effort::All).expect("an answer");
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].pointer, "/value/0");
        let told =
            problems(numbers.clone(), &format!("[{}null]", "1,".repeat(1_000_000)), Effort::All).expect("an answer");
        assert_eq!(told[0].pointer, "/value/1000000");
        assert_eq!(problems(numbers, &many("0.5"), Effort::All), Ok(Vec::new()));
        let untagged = json!({"anyOf": [{"items": {"type": "number"}}, {"items": {"type": "null"}}]});
        let told = problems(untagged, &many("\"\""), Effort::All).expect("an answer");
        assert!(told[0].detail.contains("too large to be told where"), "{told:?}");
        let told = problems(json!({"type": "null"}), &many("1"), Effort::All).expect("an answer");
        assert!(told[0].detail == r#"value is not of type "null""#, "{told:?}");
        let names = (0..100_000).map(|at| format!("\"a{at}\":1")).collect::<Vec<_>>().join(",");
        let given = Json::parse(format!("{{{names}}}")).expect("test input is JSON");
        match fields().check(Some(&given), 64 << 20, Effort::Little) {
            Ok(Err(Error::Fields(problems))) => assert_eq!(problems.len(), MAX_PROBLEMS),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn types_that_hold_themselves_are_checked_to_the_end() {
        let node = json!({"$ref": "#/$defs/Node", "$defs": {"Node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
            },
            "required": ["value"],
            "additionalProperties": false,
        }}});
        let list = |last: &str| format!("{}{last}{}", r#"{"value":1,"next":"#.repeat(100), "}".repeat(100));
        assert_eq!(problems(node.clone(), &list("null"), Effort::Little), Ok(Vec::new()));
        assert_eq!(problems(node.clone(), &list("7"), Effort::All).expect("an answer").len(), 1);
        let tree = json!({"$ref": "#/$defs/Tree", "$defs": {"Tree": {"oneOf": [
            {"type": "number"},
            {"type": "object", "properties": {"Add": {"type": "array", "prefixItems": [
                {"$ref": "#/$defs/Tree"}, {"$ref": "#/$defs/Tree"}]}}, "required": ["Add"], "additionalProperties": false},
            {"type": "object", "properties": {"Neg": {"$ref": "#/$defs/Tree"}}, "required": ["Neg"],
                "additionalProperties": false},
        ]}}});
        let sum = (0..60).fold("1".to_owned(), |sum, _| format!(r#"{{"Add":[{{"Neg":2}},{sum}]}}"#));
        assert_eq!(problems(tree.clone(), &sum, Effort::Little), Ok(Vec::new()));
        assert_eq!(problems(tree, &sum.replacen('2', "null", 1), Effort::All).expect("an answer").len(), 1);
    }

    #[test]
    fn schemas_as_deep_as_texts_may_be_are_read_and_used() {
        let deep = (0..62).fold(json!({"type": "number"}), |deep, _| json!({"items": deep}));
        let value = format!("{}1{}", "[".repeat(62), "]".repeat(62));
        assert_eq!(problems(deep.clone(), &value, Effort::All), Ok(Vec::new()));
        assert_eq!(problems(deep, &value.replace('1', "null"), Effort::All).expect("an answer").len(), 1);
        assert!(Schema::of(&(0..126).fold(json!({}), |deep, _| json!({"items": deep}))).is_some());
    }

    #[test]
    fn patterns_are_matched_in_linear_time_and_are_not_too_large() {
        // Each letter more doubles the time of an engine that goes back and forth.
        let schema = Schema::of(&json!({"type": "string", "pattern": "^(a|a)*(a|a)*(a+)+$"})).expect("a valid pattern");
        assert!(!schema.is_valid(&json!("a".repeat(10_000) + "!")));
        assert!(
            Schema::of(&json!({"items": {"pattern": "((a{1000}){1000}){1000}"}})).is_none(),
            "too large to compile"
        );
        assert!(Schema::of(&json!({"patternProperties": {"((a{1000}){1000}){1000}": true}})).is_none());
    }

    #[test]
    fn what_was_stored_before_schemas_were_bounded_is_left_to_the_guest() {
        let schema = chain(40, |next| json!({"allOf": [next, next]}), json!(false));
        let field = Field { name: "value".into(), schema: Json::of(&schema), default: None, doc: String::new() };
        let checks = Fields::of(&Definition {
            name: "sample".into(),
            doc: String::new(),
            is_async: true,
            is_public: false,
            enters: vec!["Root".into()],
            fields: vec![field],
            settings: Settings::default(),
        });
        let given = Json::parse(r#"{"value":1}"#.into()).expect("test input is JSON");
        assert!(matches!(checks.check(Some(&given), 1000, Effort::Little), Ok(Ok(_))));
    }
}
