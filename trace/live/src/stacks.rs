//! The call stack of a guest's CPU that stands at a watched address, as values with names and lines.
//!
//! What the recorder writes down of the events that have a stack, read here at any instant instead:
//! the same walk, the same tail calls put back in, the same symbols.

use trace::event::Addr;
use trace::image::Image;
use trace::stack::{At, Unwinder};
use trace::state::Frame;
use trace::tail::TailCalls;
use trace::target::{Register, Target};

use crate::error::LiveError;

/// Reads call stacks of one kernel.
pub struct CallStacks<'a> {
    image: &'a Image,
    unwinder: Unwinder,
    tail_calls: TailCalls<'a>,
}

impl<'a> CallStacks<'a> {
    /// Prepares to walk the stacks of `image`.
    pub fn new(image: &'a Image) -> Result<CallStacks<'a>, LiveError> {
        Ok(CallStacks {
            image,
            unwinder: image.unwinder(),
            tail_calls: TailCalls::new(image)?,
        })
    }

    /// The stack, innermost first, as far as it can be followed.
    pub fn read(&mut self, target: &dyn Target) -> Vec<Frame> {
        let here = Addr(target.register(Register::Rip));
        let mut walked = Vec::new();
        self.unwinder.walk(target, self.stands(here), &mut walked);
        let whole = self.tail_calls.complete(&walked);
        let frame = |(depth, addr): (usize, &Addr)| {
            let is_return = self.image.site(depth, *addr) != *addr;
            Frame {
                addr: addr.0,
                symbol: self.image.symbol(*addr, is_return),
            }
        };
        whole.iter().enumerate().map(frame).collect()
    }

    /// Before a function's first instruction its frame is not there yet.
    fn stands(&self, here: Addr) -> At {
        match self.image.function_at(here) {
            Some(function) if function.low == here.0 => At::Entry,
            _ => At::Inside,
        }
    }
}
