//! A picture as pixels: the SVG, rendered with a font of our own.
//!
//! resvg draws it, because it is the renderer that needs nothing of the host: no system font, no graphics
//! library, no configuration. Plotters' own bitmap backend would take glyphs from fonts of the host, and
//! draw a second time what the SVG says once. The font is in the executable (`analyze/fonts/README.md`
//! says where it comes from); letters that it lacks are drawn as its box for missing ones.

use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use crate::Error;

const FONT: &[u8] = include_bytes!("../../fonts/DejaVuSansCondensed.ttf");
const FAMILY: &str = "DejaVu Sans";
/// Pixels of the bitmap for one of the SVG, so that small letters stay sharp.
const SCALE: u16 = 2;

/// The picture of one of our SVGs.
pub fn png(svg: &str) -> Result<Vec<u8>, Error> {
    let failed = |what: String| Error::Plot(what);
    let tree = Tree::from_str(svg, &options()).map_err(|e| failed(e.to_string()))?;
    let size = tree.size().to_int_size();
    let scale = u32::from(SCALE);
    let mut pixels = Pixmap::new(size.width() * scale, size.height() * scale)
        .ok_or_else(|| failed(format!("{size:?} is no size for a bitmap")))?;
    let scale = Transform::from_scale(f32::from(SCALE), f32::from(SCALE));
    resvg::render(&tree, scale, &mut pixels.as_mut());
    pixels.encode_png().map_err(|e| failed(e.to_string()))
}

fn options() -> Options<'static> {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(FONT.to_vec());
    fonts.set_sans_serif_family(FAMILY);
    Options {
        font_family: FAMILY.to_owned(),
        fontdb: Arc::new(fonts),
        ..Options::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_font_is_the_one_that_the_pictures_ask_for() {
        let options = options();
        let families: Vec<&str> = options
            .fontdb
            .faces()
            .flat_map(|face| face.families.iter().map(|(name, _)| name.as_str()))
            .collect();
        assert_eq!(families, [FAMILY]);
    }

    #[test]
    fn words_are_drawn() {
        let picture = |words: &str| {
            let svg = format!(
                r#"<svg width="60" height="20" xmlns="http://www.w3.org/2000/svg">
                   <text x="2" y="15" font-family="sans-serif" font-size="12">{words}</text></svg>"#
            );
            let pixels = Pixmap::decode_png(&png(&svg).unwrap()).unwrap();
            assert_eq!((pixels.width(), pixels.height()), (120, 40));
            pixels.pixels().iter().filter(|p| p.alpha() > 128).count()
        };
        assert_eq!(picture(""), 0);
        assert!(picture("cpu12") > 100);
        assert!(picture("i") < picture("W"));
    }
}
