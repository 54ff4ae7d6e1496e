import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mssts.predict.compose import decode_mask, encode_mask


@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 0.97, 1.0])
def test_codes_are_those_of_pycocotools(share: float):
    rng = np.random.default_rng(7)
    for height, width in rng.integers(1, 30, (60, 2)).tolist():
        mask = rng.random((height, width)) < share
        code = encode_mask(mask)
        assert code == coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]
        assert (decode_mask(code, height, width) == mask).all()


def test_views_of_any_order_give_the_same_code():
    mask = np.zeros((40, 60), bool)
    mask[7:20, 11:31] = True
    assert encode_mask(mask) == encode_mask(np.asfortranarray(mask)) == encode_mask(mask[::-1][::-1])
