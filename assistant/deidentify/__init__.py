"""De-identification of DICOM objects, pictures and texts after DICOM PS3.15 Annex E."""
