//! Health errors of items and components.

use crate::{
    azure::{
        quote::quote,
        wire::{
            item::{HealthError, InnerHealthError},
            lenient::{Many, Part, Text},
        },
    },
    core::observed::HealthError as Observed,
};

/// All errors, each followed by its inner ones, in the vendor's words.
pub(super) fn errors(wire: &Many<Part<HealthError>>) -> Vec<Observed> {
    let mut all = Vec::new();
    for error in wire.iter().filter_map(Part::get) {
        push(&mut all, outer(error));
        for inner in error.inner_health_errors.iter().filter_map(Part::get) {
            push(&mut all, self::inner(inner));
        }
    }
    all
}

/// The service repeats itself: each error once, and none without a word in it.
pub(super) fn push(all: &mut Vec<Observed>, error: Observed) {
    let says_something = !error.code.is_empty() || !error.message.is_empty();
    if says_something && !all.contains(&error) {
        all.push(error);
    }
}

/// A text for people.
pub(super) fn said(text: &Text) -> String {
    quote(text.get().unwrap_or_default())
}

fn outer(error: &HealthError) -> Observed {
    Observed {
        code: said(&error.error_code),
        message: message(&error.error_message, &error.summary_message),
        causes: said(&error.possible_causes),
        action: said(&error.recommended_action),
        level: said(&error.error_level),
    }
}

fn inner(error: &InnerHealthError) -> Observed {
    Observed {
        code: said(&error.error_code),
        message: message(&error.error_message, &error.summary_message),
        causes: said(&error.possible_causes),
        action: said(&error.recommended_action),
        level: said(&error.error_level),
    }
}

fn message(message: &Text, summary: &Text) -> String {
    said(if message.get().is_some() { message } else { summary })
}
