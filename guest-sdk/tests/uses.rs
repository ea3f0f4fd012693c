//! Everything that may be written, written: each walker compiles without a word from the compiler, and does what it says.
#![deny(warnings)]
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::print_stdout, reason = "walkers print")]

use std::collections::BTreeMap;

use walker_sdk::prelude::*;
use walker_sdk::testing::{self, World};
use walker_sdk::{Definition, chrono};

/// Adds one and says so.
#[walker(async)]
struct Sample {
    #[has(default = 0)]
    value: i64,
}

#[walker]
impl Sample {
    #[entry]
    fn enter(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
        println!("test"); // captured as the walker's log
        self.value = 1;
        run.save(self)?; // returns once durable: readers see it, a restart resumes from it
        run.report(json!({"done": true}))
    }
}

#[walker]
struct ViewSampleResult {
    walker_id: WalkerId,
}

#[walker]
impl ViewSampleResult {
    #[entry]
    fn view(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
        let sample = run.walker::<Sample>(&self.walker_id)?; // `&walker_id` in Jac
        println!("{}", sample.fields.value);
        println!("Status: {}", sample.schedule.status);
        println!("Executed at: {:?}", sample.schedule.executed_date);
        if let Some(error) = &sample.schedule.error {
            println!("Error: {error}");
        }
        run.report(json!({"value": sample.fields.value, "status": sample.schedule.status}))
    }
}

#[test]
fn the_designs_example_runs() -> Result<()> {
    assert_eq!((Sample::NAME, ViewSampleResult::NAME), ("sample", "view_sample_result"));
    let done = testing::run(Sample { value: 0 })?;
    assert_eq!((done.fields.value, done.reports), (1, vec![json!({"done": true})]));
    let id: WalkerId = "w:sample:550e8400-e29b-41d4-a716-446655440000".parse()?;
    let world = World::new().with_walker(id.clone(), done.fields, Schedule::default());
    let seen = world.run(ViewSampleResult { walker_id: id })?;
    assert_eq!(seen.reports, [json!({"value": 1, "status": "completed"})]);
    Ok(())
}

walker_sdk::node!(City);

/// Says which of its abilities ran.
#[walker(
    name = "Tour",
    public,
    timeout = "1500ms",
    fuel = 1_000,
    memory = "2MiB",
    log = "1KiB",
    reports = 3,
    host_calls = 4,
    spawns = 0,
    handles = 5,
    report_bytes = "2KiB"
)]
#[derive(Debug, Clone, PartialEq)]
struct Visits {
    #[has(default)]
    seen: Vec<String>,
}

#[walker]
impl Visits {
    #[exit]
    fn last(&mut self, _: &Node) -> Result<()> {
        self.see("last");
        Ok(())
    }

    #[entry]
    fn any(&mut self, run: &mut Run, here: &Node) {
        assert_eq!(run.node_id(), here.id());
        self.see("any");
    }

    #[entry(Root, City)]
    fn both(&mut self) {
        self.see("both");
    }

    #[entry(City)]
    #[exit(City)]
    fn city(&mut self, here: &Node) -> Result<(), std::fmt::Error> {
        self.see(here.id().kind());
        Ok(())
    }

    /// Not an ability.
    fn see(&mut self, what: &str) {
        self.seen.push(what.to_owned());
    }

    #[entry]
    fn root_only(&self, _here: &walker_sdk::Root, run: &mut walker_sdk::Run) -> walker_sdk::Result<()> {
        run.report(self.seen.len())
    }
}

#[test]
fn abilities_run_in_source_order_where_they_belong() -> Result<()> {
    let on_root = testing::run(Visits { seen: vec![] })?;
    assert_eq!(on_root.fields.seen, ["any", "both", "last"]);
    assert_eq!(on_root.reports, [2]);
    let city = "n:City:550e8400-e29b-41d4-a716-446655440000".parse()?;
    assert_eq!(
        World::new().on(city).run(Visits { seen: vec![] })?.fields.seen,
        ["any", "both", "City", "last", "City"]
    );
    let elsewhere = "n:Road:550e8400-e29b-41d4-a716-446655440000".parse()?;
    assert_eq!(World::new().on(elsewhere).run(Visits { seen: vec![] })?.fields.seen, ["any", "last"]);
    Ok(())
}

#[test]
fn options_become_the_definition() {
    let tour = Definition::of::<Visits>();
    assert_eq!((tour.name, tour.is_async, tour.is_public), ("Tour", false, true));
    assert_eq!(tour.enters, ["*", "Root", "City"]);
    let expect = json!({"timeout_ms": 1500, "fuel": 1000, "memory_bytes": 2 << 20, "log_bytes": 1024, "reports": 3,
        "host_calls": 4, "spawns": 0, "handles": 5, "report_bytes": 2048});
    assert_eq!(tour.settings, expect);
}

/// A place on a map.
#[data]
#[derive(Debug, PartialEq)]
struct Place {
    name: String,
    near: Vec<Place>,
    #[serde(default)]
    kind: Kind,
}

#[data]
#[derive(Debug, Default, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Town,
    Peak,
}

/// Has fields of every sort.
///
/// On more than one line.
#[derive(Debug)]
#[walker]
struct Fields {
    /// Where to go.
    to: Place,
    /// A word of the language.
    r#type: Option<String>,
    #[has]
    since: Option<chrono::DateTime<chrono::Utc>>,
    #[has(default = "text")]
    text: String,
    #[has(default = vec![Kind::Peak, Kind::default()])]
    kinds: Vec<Kind>,
    #[has(default = Some(1))]
    maybe: Option<u8>,
    #[schemars(range(min = 1, max = 9))]
    #[has(default)]
    counts: BTreeMap<String, i32>,
    #[has(default = f64::from(2))]
    ratio: f64,
    anything: Value,
    #[serde(with = "seconds")]
    #[schemars(with = "u64")]
    #[has(default)]
    pause: Pause,
    #[has(default)]
    sizes: Vec<u32>,
    small: Option<i8>,
}

#[derive(Debug, Default)]
struct Pause(std::time::Duration);

mod seconds {
    use walker_sdk::serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(pause: &super::Pause, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(pause.0.as_secs())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<super::Pause, D::Error> {
        Ok(super::Pause(std::time::Duration::from_secs(u64::deserialize(from)?)))
    }
}

#[walker]
impl Fields {
    #[entry(Root)]
    fn enter(&mut self) {
        self.text.push('!');
    }
}

#[test]
fn fields_are_described_one_by_one() {
    let definition = Definition::of::<Fields>();
    assert_eq!(definition.doc, "Has fields of every sort.\n\nOn more than one line.");
    let field = |name: &str| definition.fields.iter().find(|field| field.name == name).unwrap();
    let names: Vec<_> = definition.fields.iter().map(|field| field.name).collect();
    assert_eq!(
        names,
        ["to", "type", "since", "text", "kinds", "maybe", "counts", "ratio", "anything", "pause", "sizes", "small"]
    );

    let to = field("to");
    assert_eq!((to.doc, &to.default), ("Where to go.", &None));
    assert_eq!(to.schema["$ref"], "#/$defs/Place");
    assert_eq!(to.schema["$defs"]["Place"]["properties"]["near"]["items"]["$ref"], "#/$defs/Place");
    assert_eq!(to.schema["$defs"].as_object().unwrap().len(), 2, "what Place needs comes with it");
    assert_eq!(field("kinds").schema["$defs"].as_object().unwrap().len(), 1, "and nothing else");

    assert_eq!(field("type").default, Some(Value::Null));
    assert_eq!(field("type").schema, json!({"type": ["string", "null"]}));
    assert_eq!(field("since").schema["format"], "date-time");
    assert_eq!(field("text").default, Some(json!("text")));
    assert_eq!(field("kinds").default, Some(json!(["peak", "town"])));
    assert_eq!(field("maybe").default, Some(json!(1)));
    assert_eq!(field("counts").default, Some(json!({})));
    assert_eq!(field("ratio").schema, json!({"type": "number", "format": "double"}));
    assert_eq!((&field("anything").schema, &field("anything").default), (&json!(true), &None));
    let sizes = &field("sizes").schema["items"];
    assert_eq!((&sizes["minimum"], &sizes["maximum"]), (&json!(0), &json!(4_294_967_295_u32)));
    assert_eq!((&field("small").schema["minimum"], &field("small").schema["maximum"]), (&json!(-128), &json!(127)));
    assert_eq!((&field("pause").schema["minimum"], &field("pause").default), (&json!(0), &Some(json!(0))));
}

#[test]
fn what_is_left_out_takes_its_default() {
    let read = |fields: Value| walker_sdk::serde_json::from_value::<Fields>(fields);
    let fields = read(json!({"to": {"name": "Ulm", "near": []}, "anything": null})).unwrap();
    assert_eq!(fields.to.kind, Kind::Town);
    assert_eq!((fields.text.as_str(), fields.maybe, fields.ratio), ("text", Some(1), 2.0));
    assert_eq!((fields.r#type, fields.since, fields.counts.len()), (None, None, 0));
    let error = read(json!({"anything": 1})).unwrap_err().to_string();
    assert!(error.contains("missing field `to`"), "{error}");
}

#[walker]
struct Empty {}

#[walker]
impl Empty {
    #[entry]
    fn enter(&self, _here: &Root, run: &mut Run) -> Result<()> {
        let id: WalkerId = "w:sample:550e8400-e29b-41d4-a716-446655440000".parse()?;
        let code = |result: Result<()>| result.unwrap_err().code().to_owned();
        run.report(code(run.walker::<Value>(&id).map(drop)))?;
        run.report(code(run.walker::<Empty>(&id).map(drop)))?;
        let unstored = code(run.save(&Sample { value: 1 }));
        run.report(unstored)?;
        let uncalled = code(run.call_named("nobody", json!({})).map(drop));
        run.report(uncalled)?;
        let number: i64 = "x".parse()?;
        run.report(number)
    }
}

#[test]
fn refusals_have_codes_and_errors_messages() -> Result<()> {
    let done = testing::run(Empty {})?;
    assert_eq!(done.reports, ["walker.not_found", "walker.mismatch", "walker.mismatch", "walker.not_found"]);
    assert_eq!(done.error.unwrap().to_string(), "invalid digit found in string");
    Ok(())
}

#[test]
fn a_world_answers_and_is_remembered() -> Result<()> {
    #[walker]
    struct Asks {
        #[has(default = json!(null))]
        answer: Value,
    }

    #[walker]
    impl Asks {
        #[entry]
        fn enter(&mut self, _here: &Root, run: &mut Run) -> Result<()> {
            self.answer = run.call_named("oracle", json!({"question": "why"}))?.remove(0);
            run.custom(json!({"was": run.custom_value()}))?;
            let id = run.spawn_named("later", json!({"a": 1}))?;
            let seen = run.walker::<Value>(&id)?;
            run.report(json!([seen.fields, seen.schedule.status, run.id().name()]))
        }
    }

    let world = World::new().answering("oracle", [json!(42)]).custom(json!("before"));
    let done = world.run(Asks { answer: Value::Null })?;
    assert_eq!(done.fields.answer, 42);
    assert_eq!(done.custom, Some(json!({"was": "before"})));
    assert_eq!((done.spawned[0].walker.as_str(), &done.spawned[0].fields), ("later", &json!({"a": 1})));
    assert_eq!(done.reports, [json!([{"a": 1}, "pending", "asks"])]);
    Ok(())
}
