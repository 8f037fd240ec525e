//! kreplay-image.
