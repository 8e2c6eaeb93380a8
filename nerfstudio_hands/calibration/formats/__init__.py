"""One reader a format of calibrations; `nerfstudio_hands.calibration.read` recognises them."""
