//! `jidoka teach`: a model package from pictures of good pieces.

use clap::Args;
use std::path::PathBuf;

/// What to teach, and from what.
#[derive(Debug, Args)]
pub struct Teach {
    /// A folder of pictures (PNG or JPEG) of good pieces, one each, taken as the line will take them
    #[arg(long, value_name = "DIR")]
    pub images: PathBuf,
    /// What to call the package
    #[arg(long)]
    pub name: String,
    /// Its version
    #[arg(long, default_value = "1")]
    pub version: String,
    /// Where packages lie; the package becomes the folder NAME@VERSION in it
    #[arg(long, value_name = "DIR", default_value = crate::packages::SHELF)]
    pub out: PathBuf,
    /// How many good pieces may be rejected, in per cent: 1% or 0.5%
    #[arg(long, value_name = "SHARE", default_value = "1%", value_parser = share)]
    pub overkill: f64,
    /// A folder of pictures of bad pieces (folders below it too), to measure what escapes; nothing is learnt from them
    #[arg(long, value_name = "DIR")]
    pub bad: Option<PathBuf>,
    /// Size of a pixel on the piece in millimetres, for the sizes of findings
    #[arg(long, value_name = "MM", default_value_t = 0.1)]
    pub pixel_size_mm: f64,
}

/// `1%` or `1 %` as 0.01.
fn share(text: &str) -> Result<f64, String> {
    let refuse = || format!("`{text}` is no share in per cent above 0 % and up to 50 %, such as 1% or 0.5%");
    let number = text.strip_suffix('%').ok_or_else(refuse)?.trim().parse::<f64>().map_err(|_| refuse())?;
    if number > 0.0 && number <= 50.0 { Ok(number / 100.0) } else { Err(refuse()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_given_in_per_cent() {
        assert_eq!(share("1%"), Ok(0.01));
        assert_eq!(share("0.5 %"), Ok(0.005));
        for wrong in ["1", "0%", "-1%", "60%", "x%", "NaN%"] {
            assert!(share(wrong).is_err_and(|text| text.contains("per cent")), "{wrong}");
        }
    }
}
