"""A hospital's image archive: over DICOMweb and over DIMSE, and a service that receives what an archive sends."""
