//! The closed set of event kinds, one Linux trace system a file, and the macro that declares them.
//!
//! `events!` writes, from one declaration, the struct of the fields, its schema and the way to and
//! from [`FieldValue`]s; so the file format, the exporters and the documentation cannot disagree.

mod boot;
mod cpuhp;
mod ipi;
mod irq;
mod moves;
mod probe;
mod sched;
mod stop;

pub use boot::*;
pub use cpuhp::*;
pub use ipi::*;
pub use irq::*;
pub use moves::*;
pub use probe::*;
pub use sched::*;
pub use stop::*;

use crate::event::{Addr, Comm, EventSchema, FieldType, FieldValue};

/// A Rust type that a field may have.
pub(crate) trait Field: Copy {
    const TYPE: FieldType;
    /// Size in a C structure; our types have C's sizes.
    const BYTES: usize = size_of::<Self>();
    fn to_value(self) -> FieldValue;
    fn from_value(value: FieldValue) -> Option<Self>;
}

/// A CPU mask, bit n = CPU n.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Mask(pub u64);

macro_rules! field {
    ($ty:ty, $kind:ident, $value:ident, |$v:ident| $to:expr, |$w:ident| $from:expr) => {
        impl Field for $ty {
            const TYPE: FieldType = FieldType::$kind;
            fn to_value(self) -> FieldValue {
                let $v = self;
                FieldValue::$value($to)
            }
            fn from_value(value: FieldValue) -> Option<Self> {
                match value {
                    FieldValue::$value($w) => $from,
                    _ => None,
                }
            }
        }
    };
}

field!(i32, Int, Int, |v| i64::from(v), |w| i32::try_from(w).ok());
field!(i64, Int, Int, |v| v, |w| Some(w));
field!(u32, Uint, Uint, |v| u64::from(v), |w| u32::try_from(w).ok());
field!(u64, Uint, Uint, |v| v, |w| Some(w));
field!(Mask, Mask, Uint, |v| v.0, |w| Some(Mask(w)));
field!(Addr, Addr, Addr, |v| v, |w| Some(w));
field!(Comm, Comm, Comm, |v| v, |w| Some(w));

/// Declares event structs of one trace system.
macro_rules! events {
    ($($(#[doc = $doc:literal])+ $name:ident = $id:literal, $event:literal {
        $($(#[doc = $fdoc:literal])+ $field:ident: $ty:ty = $fname:literal,)*
    })*) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct $name {
            $($(#[doc = $fdoc])+ pub $field: $ty,)*
        }

        impl $name {
            /// Number, name and fields.
            pub const SCHEMA: crate::event::EventSchema = crate::event::EventSchema {
                id: $id,
                name: $event,
                doc: concat!($($doc),+),
                fields: &[$(crate::event::FieldSchema {
                    name: $fname,
                    ty: <$ty as crate::events::Field>::TYPE,
                    bytes: <$ty as crate::events::Field>::BYTES,
                    doc: concat!($($fdoc),+),
                },)*],
            };

            #[allow(unused_variables, reason = "an event may have no field")]
            #[inline]
            pub(crate) fn visit(&self, f: &mut impl FnMut(crate::event::FieldValue)) {
                $(f(crate::events::Field::to_value(self.$field));)*
            }

            #[allow(unused_variables, reason = "an event may have no field")]
            pub(crate) fn from_values(
                next: &mut dyn FnMut() -> Option<crate::event::FieldValue>,
            ) -> Option<Self> {
                Some($name { $($field: crate::events::Field::from_value(next()?)?,)* })
            }
        }
    )*};
}
pub(crate) use events;

/// Gathers the structs into [`EventData`].
macro_rules! event_data {
    ($($name:ident,)*) => {
        /// The kind of an event and its fields.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum EventData {
            $(#[doc = concat!("See [`", stringify!($name), "`].")] $name($name),)*
        }

        impl EventData {
            /// Every kind there is, in the order of their numbers.
            pub const SCHEMAS: &'static [EventSchema] = &[$($name::SCHEMA,)*];

            /// Number, name and fields of this kind.
            pub fn schema(&self) -> &'static EventSchema {
                match self { $(EventData::$name(_) => const { &$name::SCHEMA },)* }
            }

            /// Calls `f` with every field's value, in the order of the schema.
            #[inline]
            pub fn visit(&self, f: &mut impl FnMut(FieldValue)) {
                match self { $(EventData::$name(e) => e.visit(f),)* }
            }

            /// Builds the kind numbered `id` from its fields; `None` if they do not fit.
            pub fn from_values(
                id: u8,
                next: &mut dyn FnMut() -> Option<FieldValue>,
            ) -> Option<EventData> {
                $(if id == $name::SCHEMA.id {
                    return $name::from_values(next).map(EventData::$name);
                })*
                None
            }
        }

        $(impl From<$name> for EventData {
            fn from(e: $name) -> EventData { EventData::$name(e) }
        })*
    };
}

event_data! {
    SchedSwitch, SchedWaking, SchedWakeup, SchedWakeupNew, SchedMigrateTask, SchedProcessFork,
    SchedProcessExit, IpiSendCpu, IpiSendCpumask, LocalTimerEntry, LocalTimerExit,
    RescheduleEntry, RescheduleExit, CallFunctionEntry, CallFunctionExit,
    CallFunctionSingleEntry, CallFunctionSingleExit, SchedulerTick, StopWorkQueue, StopWorkStart,
    StopWorkDone, StopComplete, MoveAffinityEntry, MoveEnqueued, MoveFallback,
    StopMachineState, BootMilestone, CpuhpEnter, CpuhpExit, CpuhpMultiEnter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique() {
        let mut ids: Vec<u8> = EventData::SCHEMAS.iter().map(|s| s.id).collect();
        let mut names: Vec<&str> = EventData::SCHEMAS.iter().map(|s| s.name).collect();
        ids.dedup();
        names.sort_unstable();
        names.dedup();
        assert_eq!(ids.len(), EventData::SCHEMAS.len());
        assert_eq!(names.len(), EventData::SCHEMAS.len());
    }

    #[test]
    fn every_event_has_a_sentence_for_every_field() {
        for schema in EventData::SCHEMAS {
            assert!(schema.doc.trim().len() > 5, "{}", schema.name);
            for field in schema.fields {
                assert!(field.doc.trim().len() > 3, "{}.{}", schema.name, field.name);
                let sizes: &[usize] = match field.ty {
                    FieldType::Int | FieldType::Uint => &[4, 8],
                    FieldType::Mask | FieldType::Addr => &[8],
                    FieldType::Comm => &[16],
                };
                assert!(
                    sizes.contains(&field.bytes),
                    "{}.{}",
                    schema.name,
                    field.name
                );
            }
        }
    }
}
