//! Old files are opened for ever.
