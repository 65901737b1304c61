"""Smaller networks out of trained ones: what may go by which criterion, and the surgery."""
