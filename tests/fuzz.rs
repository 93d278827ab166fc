//! The functions of `fuzz/`, over its corpus and mutations of it: no panic, no input that takes long or much memory.
//!
//! 300 inputs for each target; `FAILBACK_FUZZ=20000` for more. Where `FAILBACK_ASR_DATA` names recorded exchanges, they
//! are seeds too. `FAILBACK_UPDATE=1` writes the corpus anew, from what the simulated site and the examples say.
#![cfg(feature = "demo")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a test that meets the unexpected shall fail"
)]

#[path = "fuzz/corpus.rs"]
mod corpus;
#[path = "../fuzz/src/lib.rs"]
mod parsers;

use std::{
    panic::AssertUnwindSafe,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use peak_alloc::PeakAlloc;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Bytes in use for each byte of input, and for any input.
const MOST_MEMORY: (usize, usize) = (200, 1 << 20);
/// … and whatever the input: of the half a gigabyte that the controller has by default.
const MOST_EVER: usize = 192 << 20;
/// A scenario may ask for many machines in a few words.
const MOST_FOR_A_SCENARIO: usize = 1 << 30;
/// So may a regular expression for much memory.
const MOST_FOR_A_PATTERN: usize = 32 << 20;
/// The longest that the largest input may take.
const LONGEST_EVER: Duration = Duration::from_secs(60);
/// The longest that an input may take in a build without optimization, on a busy machine.
const LONGEST: Duration = Duration::from_secs(10);

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 10] = [
    ("arm", |data| _ = parsers::arm(data)),
    ("token", parsers::token),
    ("vcenter", |data| _ = parsers::vcenter(data)),
    ("trust", parsers::trust),
    ("scenario", parsers::scenario),
    ("objects", parsers::objects),
    ("cron", parsers::cron),
    ("jobs", parsers::jobs),
    ("probe", parsers::probe),
    ("faults", parsers::faults),
];

/// What an edit puts in: what parsers stumble over.
const WORDS: [&str; 24] = [
    "null",
    "true",
    "-1",
    "0",
    "1e309",
    "18446744073709551616",
    "9223372036854775808",
    "\"\"",
    "[]",
    "{}",
    "[[[[[[[[",
    "{\"value\":",
    "\u{feff}",
    "\u{0}",
    "é",
    "😀",
    "<![CDATA[",
    "<!DOCTYPE a>",
    "&#1114112;",
    "*/0",
    "&a *a",
    "\n\n",
    "9999-12-31T23:59:59Z",
    "-9999-01-01T00:00:00Z",
];

/// One change of an input: where, as a share of its length, over how much of it, and what.
#[derive(Clone, Debug)]
enum Edit {
    Put(f64, usize),
    Flip(f64, u8),
    Cut(f64, f64),
    Repeat(f64, f64, u8),
    Truncate(f64),
}

fn edit() -> impl Strategy<Value = Edit> {
    let place = 0.0..1.0f64;
    prop_oneof![
        4 => (place.clone(), 0..WORDS.len()).prop_map(|(at, word)| Edit::Put(at, word)),
        3 => (place.clone(), any::<u8>()).prop_map(|(at, bits)| Edit::Flip(at, bits)),
        2 => (place.clone(), 0.0..0.2f64).prop_map(|(at, part)| Edit::Cut(at, part)),
        2 => (place.clone(), 0.0..0.05f64, 1..40u8).prop_map(|(at, part, times)| Edit::Repeat(at, part, times)),
        1 => place.prop_map(Edit::Truncate),
    ]
}

fn edited(seed: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for edit in edits {
        let share = |part: f64| (bytes.len() as f64 * part) as usize;
        match *edit {
            Edit::Put(at, word) => {
                let at = share(at);
                bytes.splice(at..at, WORDS[word].bytes());
            }
            Edit::Flip(at, bits) => {
                let at = share(at);
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bits);
            }
            Edit::Cut(at, part) => {
                let (from, to) = (share(at), share((at + part).min(1.0)));
                bytes.drain(from..to);
            }
            Edit::Repeat(at, part, times) => {
                let (from, to) = (share(at), share((at + part).min(1.0)));
                let again = bytes[from..to].repeat(times.into());
                bytes.splice(from..from, again);
            }
            Edit::Truncate(at) => bytes.truncate(share(at)),
        }
    }
    bytes
}

/// What the worst input so far has cost.
#[derive(Debug, Default)]
struct Cost {
    inputs: usize,
    took: Duration,
    memory: usize,
}

fn run(target: Target, input: &[u8], cost: &mut Cost) {
    run_within(target, input, cost, LONGEST);
}

fn run_within((name, parse): Target, input: &[u8], cost: &mut Cost, longest: Duration) {
    let shown = || String::from_utf8_lossy(&input[..input.len().min(4000)]).into_owned();
    MEMORY.reset_peak_usage();
    let (before, began) = (MEMORY.current_usage(), Instant::now());
    let caught = std::panic::catch_unwind(AssertUnwindSafe(|| parse(input)));
    let (took, memory) = (began.elapsed(), MEMORY.peak_usage().saturating_sub(before));
    assert!(caught.is_ok(), "{name} panicked at:\n{}", shown());
    assert!(took < longest, "{name} took {took:?} for:\n{}", shown());
    let most = match name {
        "scenario" => MOST_FOR_A_SCENARIO,
        "probe" => MOST_FOR_A_PATTERN,
        _ => (MOST_MEMORY.0 * input.len() + MOST_MEMORY.1).min(MOST_EVER),
    };
    assert!(memory < most, "{name} took {memory} bytes of memory for {} of input:\n{}", input.len(), shown());
    cost.inputs += 1;
    cost.took = cost.took.max(took);
    cost.memory = cost.memory.max(memory);
}

/// A target whose seeds are refused at the door would show nothing.
#[test]
fn the_corpus_gets_as_far_as_it_should() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let seed = |target: &str, name: &str| {
        std::fs::read(format!("{}/fuzz/corpus/{target}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    };
    for name in ["GET_replicationProtectedItems", "GET_replicationProtectedItems_one"] {
        assert_eq!(parsers::arm(&seed("arm", name)), 1, "{name}: one machine is seen and decided about");
    }
    for name in ["SOAP_RetrievePropertiesEx", "SOAP_WaitForUpdatesEx"] {
        assert!(parsers::vcenter(&seed("vcenter", name)) > 0, "{name}: objects are seen");
    }
}

/// Memory is measured for the whole process.
static ALONE: Mutex<()> = Mutex::new(());

/// So often a unit, with its number in the place of `#`, that it is as large as what is read.
fn filled(size: usize, begin: &str, unit: &str, end: &str) -> Vec<u8> {
    let mut text = begin.to_owned();
    let mut number = 0;
    while text.len() + unit.len() + 8 + end.len() <= size {
        number += 1;
        text.push_str(&unit.replace('#', &number.to_string()));
    }
    (text + end).into_bytes()
}

/// What takes the most memory for its size: as large as any answer that is read (16 MiB of Azure's, 32 of vCenter's),
/// and as large as an answer of that shape may be.
#[test]
fn the_worst_answers_of_full_size_take_a_bounded_amount_of_memory() {
    const ARM: usize = 16 << 20;
    const SOAP: usize = 32 << 20;
    const DENSE: usize = 500 << 10;
    const BEGIN: &str = "<Envelope><Body><RetrievePropertiesExResponse><returnval>";
    const END: &str = "</returnval></RetrievePropertiesExResponse></Body></Envelope>";
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let long = format!("{{\"id\":\"/a/#\",\"x\":\"{}\"}},", "x".repeat(40_000));
    let deep = format!("{}{}", "<a>".repeat(200), "</a>".repeat(200));
    let attributes = (0..200_000).map(|at| format!(" a{at}=''")).collect::<String>();
    let shapes = [
        ("arm", "lists", ARM, ["[", "[],", "0]"]),
        ("arm", "lists", DENSE, ["[", "[],", "0]"]),
        ("arm", "objects", ARM, ["[", "{\"\":0},", "0]"]),
        ("arm", "objects", DENSE, ["[", "{\"\":0},", "0]"]),
        ("arm", "fields", DENSE, ["{", "\"#\":0,", "\"\":0}"]),
        ("arm", "entries", DENSE, ["{\"value\":[", "{\"id\":\"#\"},", "0]}"]),
        ("arm", "long entries", ARM, ["{\"value\":[", &long, "0]}"]),
        ("arm", "one text", ARM, ["{\"value\":[\"", "\\u0061", "\"]}"]),
        ("vcenter", "elements", SOAP, [BEGIN, "<a/>", END]),
        ("vcenter", "depth", SOAP, [BEGIN, &deep, END]),
        ("vcenter", "attributes", SOAP, [BEGIN, &format!("<a{attributes}/>"), END]),
        ("vcenter", "one text", SOAP, [BEGIN, "a text without an end ", END]),
    ];
    println!("{:>10} {:>16} {:>10} {:>8} {:>11}", "target", "shape", "size", "took", "most memory");
    for (name, shape, size, [begin, unit, end]) in shapes {
        let target = *TARGETS.iter().find(|(target, _)| *target == name).unwrap();
        let input = filled(size, begin, unit, end);
        let mut cost = Cost::default();
        run_within(target, &input, &mut cost, LONGEST_EVER);
        let took = format!("{:.1?}", cost.took);
        println!("{name:>10} {shape:>16} {:>6} KiB {took:>8} {:>7} MiB", size >> 10, cost.memory >> 20);
    }
}

/// One test for all.
#[test]
fn no_input_makes_a_parser_panic_or_take_long_or_much_memory() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    drop(rustls::crypto::ring::default_provider().install_default());
    let cases = std::env::var("FAILBACK_FUZZ").ok().and_then(|cases| cases.parse().ok()).unwrap_or(300);
    println!("{:>10} {:>6} {:>8} {:>12} {:>14}", "target", "seeds", "inputs", "slowest", "most memory");
    for target in TARGETS {
        let seeds = corpus::seeds(target.0);
        assert!(!seeds.is_empty(), "{}: fuzz/corpus holds nothing for it", target.0);
        let mut cost = Cost::default();
        for seed in &seeds {
            run(target, seed, &mut cost);
        }
        let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
        let inputs = (0..seeds.len(), prop::collection::vec(edit(), 1..6));
        let cost = std::cell::RefCell::new(cost);
        let outcome = TestRunner::new(config).run(&inputs, |(seed, edits)| {
            run(target, &edited(&seeds[seed], &edits), &mut cost.borrow_mut());
            Ok(())
        });
        let cost = cost.into_inner();
        println!(
            "{:>10} {:>6} {:>8} {:>12} {:>11} KiB",
            target.0,
            seeds.len(),
            cost.inputs,
            format!("{:.1?}", cost.took),
            cost.memory >> 10
        );
        assert!(outcome.is_ok(), "{}: {}", target.0, outcome.unwrap_err());
    }
}
