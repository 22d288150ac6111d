/* Responses of filters, and what those of a second have in common. */
#include "kernel.h"

/* The largest of a second's `length` responses, whose rows lie `row_bytes` apart, and its frame, the first of equal
 * ones; not a number if one is none. */
INLINE void pool(const char *responses, Py_ssize_t row_bytes, Py_ssize_t length, Py_ssize_t first_frame, __mmask16 mask,
                 int bfloat16, float *maximum, int32_t *max_frame)
{
    __m512 best = load(responses, mask, bfloat16);
    __m512i frame = _mm512_set1_epi32((int)first_frame);
    __mmask16 none = _mm512_cmp_ps_mask(best, best, _CMP_UNORD_Q);
    for (Py_ssize_t f = 1; f < length; f++) {
        __m512 value = load(responses + f * row_bytes, mask, bfloat16);
        __mmask16 more = _mm512_cmp_ps_mask(value, best, _CMP_GT_OQ);
        none |= _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
        best = _mm512_mask_mov_ps(best, more, value);
        frame = _mm512_mask_set1_epi32(frame, more, (int)(first_frame + f));
    }
    best = _mm512_mask_mov_ps(best, none, _mm512_set1_ps(__builtin_nanf("")));
    _mm512_mask_storeu_ps(maximum, mask, best);
    if (max_frame) _mm512_mask_storeu_epi32(max_frame, mask, frame);
}

/* The variance of a second's responses; what they are less their mean is written to `centred`, if it is wanted. */
INLINE void spread(const char *responses, Py_ssize_t row_bytes, Py_ssize_t length, __mmask16 mask, int bfloat16,
                   float *variance, char *centred, Py_ssize_t centred_row_bytes, __mmask16 wanted, int centred_bfloat16)
{
    __m512 mean = _mm512_setzero_ps(), squares = mean, reciprocal = _mm512_set1_ps(1.0f / (float)length);
    for (Py_ssize_t f = 0; f < length; f++) mean += load(responses + f * row_bytes, mask, bfloat16) * reciprocal;
    for (Py_ssize_t f = 0; f < length; f++) {
        __m512 value = load(responses + f * row_bytes, mask, bfloat16) - mean;
        squares += value * value;
        if (centred) store(centred + f * centred_row_bytes, wanted, value, centred_bfloat16);
    }
    _mm512_mask_storeu_ps(variance, mask, squares * reciprocal);
}

INLINE void filter_block(const Work *work, const Block *block, float *responses, int bfloat16)
{
    const __mmask16 all = lanes(LANES);
    Py_ssize_t length = work->length, filters = work->filters, size = bfloat16 ? 2 : 4;
    Py_ssize_t row_bytes = work->inner * size, steps = row_bytes / 4, end = block->column + block->columns;
    Py_ssize_t second = block->window * work->seconds, seconds = block->windows * work->seconds;
    for (Py_ssize_t column = block->column / COLUMNS * COLUMNS; column < end; column += COLUMNS)
        for (Py_ssize_t s = 0; s < seconds; s++) {
            Py_ssize_t first = (second + s) * length;
            for (Py_ssize_t f = 0; f < length; f += ROWS) {
                const char *rows[ROWS];
                for (Py_ssize_t i = 0; i < ROWS; i++)
                    rows[i] = work->features + (first + (f + i < length ? f + i : length - 1)) * row_bytes;
                (bfloat16 ? multiply_bfloat16 : multiply_float32)(rows, work->panels + column * steps * 4, steps,
                                                                  responses + f * COLUMNS);
            }
            float maximum[COLUMNS], variance[COLUMNS];
            int32_t max_frame[COLUMNS];
            for (int j = 0; j < COLUMNS; j += LANES) {
                const char *of_second = (const char *)(responses + j);
                pool(of_second, COLUMNS * 4, length, first, all, 0, maximum + j, max_frame + j);
                if (!work->variance) continue;
                Py_ssize_t before = column + j - block->column, at = s * length * block->columns + before;
                char *centred = work->centred ? work->centred + (block->offset + at) * size : NULL;
                spread(of_second, COLUMNS * 4, length, all, 0, variance + j, centred, block->columns * size,
                       lanes(block->columns - before) & ~lanes(-before), bfloat16);
            }
            Py_ssize_t c = column > block->column ? column : block->column;
            Py_ssize_t stop = column + COLUMNS < end ? column + COLUMNS : end;
            for (Py_ssize_t run; c < stop; c += run) {
                Py_ssize_t filter = c % filters, to = place(work, c / filters, second + s) + filter;
                run = filters - filter < stop - c ? filters - filter : stop - c;
                memcpy(work->maximum + to, maximum + (c - column), run * sizeof(float));
                if (work->max_frame) memcpy(work->max_frame + to, max_frame + (c - column), run * sizeof(int32_t));
                if (work->variance) memcpy(work->variance + to, variance + (c - column), run * sizeof(float));
            }
        }
}

/* Fills maximum, and what else is wanted of max_frame, variance and centred. */
AVX512 void filter_responses(Work *work)
{
    float *responses = (float *)thread_scratch(work);
    for (const Block *block; (block = take_block(work));)
        if (work->bfloat16)
            filter_block(work, block, responses, 1);
        else
            filter_block(work, block, responses, 0);
}

/* The same from responses in bfloat16, which lie where centred is wanted. */
AVX512 void pool_responses(Work *work)
{
    Py_ssize_t filters = work->filters, length = work->length;
    for (const Block *block; (block = take_block(work));) {
        Py_ssize_t row_bytes = block->columns * 2, second = block->window * work->seconds;
        for (Py_ssize_t s = 0; s < block->windows * work->seconds; s++)
            for (Py_ssize_t c = 0; c < block->columns; c += filters) {
                Py_ssize_t first_place = place(work, (block->column + c) / filters, second + s);
                for (Py_ssize_t i = 0; i < filters; i += LANES) {
                    Py_ssize_t to = first_place + i, first_frame = (second + s) * length;
                    __mmask16 mask = lanes(filters - i);
                    char *from = work->centred + block->offset * 2 + s * length * row_bytes + (c + i) * 2;
                    pool(from, row_bytes, length, first_frame, mask, 1, work->maximum + to,
                         work->max_frame ? work->max_frame + to : NULL);
                    if (work->variance)
                        spread(from, row_bytes, length, mask, 1, work->variance + to, work->max_frame ? from : NULL,
                               row_bytes, mask, 1);
                }
            }
    }
}
