//! Which pages of guest memory may have been written since they were last asked for.
//!
//! Two ways, found out at the first question: the host's write-protection (`write_protect`), which
//! costs half a microsecond for the first write to a page and nothing for the others; or no tracking
//! at all, in which case whoever asks compares every page with what it knows of it. Nothing is set up
//! before the first question, so a run of which nobody takes a snapshot pays for neither.
//!
//! The answer may name pages that were not written (the host's zero page looks so), and never leaves
//! one out. So a page that is named is compared too, and both ways give the same snapshots.
//!
//! Not used: Unicorn's hooks on writes. One of them, even on a page that nobody touches, makes the
//! guest three to six times slower.

mod write_protect;

use crate::unicorn::RamView;
use write_protect::WriteProtect;

/// How the pages that a guest has written are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tracking {
    /// The host protects pages and notes the first write to each (asynchronous userfaultfd
    /// write-protection, read with PAGEMAP_SCAN: Linux 6.7 or later).
    WriteProtection,
    /// Every page is compared with the last snapshot.
    Comparison,
}

/// What is known about writes since the last question.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Written {
    /// At most these pages, ascending.
    Pages(Vec<usize>),
    /// Any page.
    Unknown,
}

/// Answers the question for one guest memory.
pub(crate) struct Dirty {
    ram: RamView,
    way: Way,
}

enum Way {
    /// Nobody has asked yet.
    Unasked,
    Protect(WriteProtect),
    Compare,
}

impl Dirty {
    pub(crate) fn new(ram: RamView) -> Self {
        Self {
            ram,
            way: Way::Unasked,
        }
    }

    /// Refuses the host's help, whether it has any to give or not.
    pub(crate) fn compare(&mut self) {
        self.way = Way::Compare;
    }

    /// How writes are found; `None` as long as nobody has asked.
    pub(crate) fn tracking(&self) -> Option<Tracking> {
        match self.way {
            Way::Unasked => None,
            Way::Protect(_) => Some(Tracking::WriteProtection),
            Way::Compare => Some(Tracking::Comparison),
        }
    }

    /// The pages written since the previous call; from now on later writes are noted. Unknown at the
    /// first call.
    pub(crate) fn written(&mut self) -> Written {
        let mut first = false;
        if let Way::Unasked = self.way {
            first = true;
            self.way = match WriteProtect::start(&self.ram) {
                Some(protect) => Way::Protect(protect),
                None => Way::Compare,
            };
        }
        let Way::Protect(protect) = &mut self.way else {
            return Written::Unknown;
        };
        match protect.collect() {
            Some(_) if first => Written::Unknown,
            Some(pages) => Written::Pages(pages),
            // The host went back on its word: nothing that it noted counts any more.
            None => {
                self.way = Way::Compare;
                Written::Unknown
            }
        }
    }
}
