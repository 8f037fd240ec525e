//! Where the milestones of the boot are: the functions of an image whose entries are `boot:milestone`.

use emu::Site;
use trace::event::Addr;
use trace::events::MILESTONES;
use trace::image::Image;

use crate::hooks::Hook;

/// The entries of those functions that the image has. A missing one is no missing event: the report on
/// the boot names it.
pub fn places(image: &Image) -> Vec<(Addr, Site, Hook)> {
    MILESTONES
        .iter()
        .filter_map(|name| image.address_of(name))
        .map(|entry| (entry, Site::Block, Hook::Milestone))
        .collect()
}
