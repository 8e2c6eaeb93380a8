"""Hands in pictures by MediaPipe's networks: palms, landmarks, handedness."""

from nerfstudio_hands.estimators.hand_detector.detector import DetectedHand, HandDetector

__all__ = ["DetectedHand", "HandDetector"]
