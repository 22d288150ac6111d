/* Gradient of filters: a product, or where only the largest response of a second has one, a sum of one frame each. */
#include "kernel.h"

/* Of a head's filters in a block, which begin with column `c` of it. */
INLINE void response_grads_head(const Work *work, const Block *block, Py_ssize_t c, int bfloat16)
{
    Py_ssize_t filters = work->filters, length = work->length, size = bfloat16 ? 2 : 4;
    Py_ssize_t second = block->window * work->seconds, frames = block->windows * work->seconds * length;
    Py_ssize_t row_bytes = work->windows * work->seconds * length * size;
    const __m512i apart = _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                                             _mm512_set1_epi32((int)row_bytes));
    for (Py_ssize_t i = 0; i < filters; i += LANES) {
        __mmask16 mask = lanes(filters - i);
        char *to = work->response_grads + (block->column + c + i) * row_bytes + second * length * size;
        __m512 previous = _mm512_setzero_ps();
        for (Py_ssize_t f = 0; f < frames; f++) {
            Py_ssize_t from = place(work, (block->column + c) / filters, second + f / length) + i;
            __m512 grad_max = _mm512_maskz_loadu_ps(mask, work->maximum + from), value = _mm512_setzero_ps();
            __m512i max_frame = _mm512_maskz_loadu_epi32(mask, work->max_frame + from);
            __mmask16 is_max = _mm512_cmpeq_epi32_mask(max_frame, _mm512_set1_epi32((int)(second * length + f)));
            if (work->centred) {
                __m512 slope = _mm512_maskz_loadu_ps(mask, work->variance + from) * (2.0f / (float)length);
                const char *at = work->centred + (block->offset + f * block->columns + c + i) * size;
                value = load(at, mask, bfloat16) * slope;
            }
            value = _mm512_mask_add_ps(value, is_max, value, grad_max);
            if (!bfloat16)
                _mm512_mask_i32scatter_ps(to + f * size, mask, apart, value, 1);
            else if (f % 2 == 0)
                previous = value;
            else {
                __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(previous));
                __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(value));
                __m512i both = _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
                _mm512_mask_i32scatter_epi32(to + (f - 1) * size, mask, apart, both, 1);
            }
        }
    }
}

/* Fills response_grads from the gradient of maximum, in its place, and where there is centred from that of variance.
 * A thread takes the heads of a block one by one. */
AVX512 void response_grads(Work *work)
{
    Py_ssize_t mine = take(&work->next), number = 0;
    for (const Block *block = work->blocks; block < work->blocks + work->count; block++)
        for (Py_ssize_t c = 0; c < block->columns; c += work->filters)
            if (number++ == mine) {
                if (work->bfloat16)
                    response_grads_head(work, block, c, 1);
                else
                    response_grads_head(work, block, c, 0);
                mine = take(&work->next);
            }
}

/* A slice of the gradient from its sums (columns, SLICE). Those of bfloat16 were unpacked: of 32 values, the first
 * vector has the lower and the second the upper four of each eight. */
INLINE void write_slice(const Work *work, const float *sums, Py_ssize_t begin, int bfloat16)
{
    const __m512i lower = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const __m512i upper = _mm512_add_epi32(lower, _mm512_set1_epi32(8));
    for (Py_ssize_t c = 0; c < work->columns; c++)
        for (Py_ssize_t i = begin; i < begin + SLICE; i += 2 * LANES, sums += 2 * LANES) {
            float *to = work->gradient + c * work->inner + i;
            __m512 first = _mm512_loadu_ps(sums), second = _mm512_loadu_ps(sums + LANES), low = first;
            if (bfloat16) {
                first = _mm512_permutex2var_ps(low, lower, second);
                second = _mm512_permutex2var_ps(low, upper, second);
            }
            _mm512_mask_storeu_ps(to, lanes(work->inner - i), first);
            _mm512_mask_storeu_ps(to + LANES, lanes(work->inner - i - LANES), second);
        }
}

/* COLUMNS values of a frame, or of two of 16 bits side by side, as `multiply` takes them. */
INLINE void pack(const char *frame, Py_ssize_t row_bytes, Py_ssize_t left, char *to, int bfloat16)
{
    __mmask32 mask = (uint32_t)lanes(left) | (uint32_t)lanes(left - LANES) << LANES;
    if (bfloat16) {
        __m512i first = _mm512_maskz_loadu_epi16(mask, frame);
        __m512i second = _mm512_maskz_loadu_epi16(mask, frame + row_bytes);
        _mm512_storeu_si512(to, _mm512_unpacklo_epi16(first, second));
        _mm512_storeu_si512(to + LANES * 4, _mm512_unpackhi_epi16(first, second));
    } else {
        _mm512_storeu_ps(to, _mm512_maskz_loadu_ps((__mmask16)mask, frame));
        _mm512_storeu_ps(to + LANES * 4, _mm512_maskz_loadu_ps((__mmask16)(mask >> LANES), frame + LANES * 4));
    }
}

INLINE void weight_grad_slice(const Work *work, Py_ssize_t begin, float *sums, int bfloat16)
{
    Py_ssize_t left = work->inner - begin, size = bfloat16 ? 2 : 4, row_bytes = work->inner * size;
    Py_ssize_t window_frames = work->seconds * work->length, all_frames = work->windows * window_frames;
    char *panels = (char *)(sums + work->columns * SLICE);
    memset(sums, 0, work->columns * SLICE * sizeof(float));
    for (const Block *block = work->blocks; block < work->blocks + work->count; block++) {
        Py_ssize_t frames = block->windows * window_frames, steps = frames / (1 + bfloat16);
        Py_ssize_t first = block->window * window_frames;
        const char *x = work->features + first * row_bytes + begin * size;
        for (int i = 0; i < SLICE; i += COLUMNS)
            for (Py_ssize_t step = 0; step < steps; step++)
                pack(x + step * (1 + bfloat16) * row_bytes + i * size, row_bytes, left - i,
                     panels + (i * steps + step * COLUMNS) * 4, bfloat16);
        for (Py_ssize_t c = 0; c < block->columns; c += ROWS) {
            Py_ssize_t count = block->columns - c < ROWS ? block->columns - c : ROWS;
            const char *rows[ROWS];
            for (Py_ssize_t i = 0; i < ROWS; i++) {
                Py_ssize_t row = block->column + c + (i < count ? i : 0);
                rows[i] = work->response_grads + (row * all_frames + first) * size;
            }
            for (int i = 0; i < SLICE; i += COLUMNS) {
                float product[ROWS * COLUMNS], *to = sums + (block->column + c) * SLICE + i;
                (bfloat16 ? multiply_bfloat16 : multiply_float32)(rows, panels + i * steps * 4, steps, product);
                for (Py_ssize_t row = 0; row < count; row++)
                    for (int j = 0; j < COLUMNS; j += LANES) {
                        float *at = to + row * SLICE + j;
                        _mm512_storeu_ps(at, _mm512_loadu_ps(at) + _mm512_loadu_ps(product + row * COLUMNS + j));
                    }
            }
        }
    }
    write_slice(work, sums, begin, bfloat16);
}

/* Fills the gradient of the weights from response_grads, slice by slice. */
AVX512 void weight_grad(Work *work)
{
    float *sums = (float *)thread_scratch(work);
    for (Py_ssize_t begin; (begin = take(&work->next) * SLICE) < work->inner;)
        if (work->bfloat16)
            weight_grad_slice(work, begin, sums, 1);
        else
            weight_grad_slice(work, begin, sums, 0);
}

/* The nearest of 16 bits; not a number stays so. */
static uint16_t round_bfloat16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (value != value) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Fills pairs from max_frame and the gradient of maximum, in its place. */
void pair_max_frames(Work *work)
{
    Py_ssize_t filters = work->filters, frame_bytes = SLICE * 2;
    for (const Block *block; (block = take_block(work));) {
        Py_ssize_t second = block->window * work->seconds, seconds = block->windows * work->seconds;
        Pair *pairs = work->pairs + block->offset;
        for (Py_ssize_t c = 0; c < block->columns; c += filters) {
            Py_ssize_t from = place(work, (block->column + c) / filters, second);
            for (Py_ssize_t filter = 0; filter < filters; filter++)
                for (Py_ssize_t s = 0; s < seconds; s++) {
                    Py_ssize_t at = from + s * filters + filter;
                    uint32_t frame = (uint32_t)((work->max_frame[at] - second * work->length) * frame_bytes);
                    uint16_t grad = round_bfloat16(work->maximum[at]);
                    if (s % 2) {
                        pairs[s / 2].grads[1] = grad;
                        pairs[s / 2].frames[1] = frame;
                    } else
                        pairs[s / 2] = (Pair){{grad, 0}, {frame, frame}};
                    if (s == seconds - 1) pairs += s / 2 + 1;
                }
        }
    }
}

/* Adds to the sums (columns, SLICE) what pairs have of frames (.., SLICE). */
static __attribute__((noinline)) AVX512 void add_pairs(const char *frames, const Pair *pairs, Py_ssize_t count,
                                                       Py_ssize_t columns, float *sums)
{
    for (; columns; columns--, sums += SLICE) {
        __m512 acc[SLICE / LANES];
#pragma GCC unroll 4
        for (int i = 0; i < SLICE / LANES; i++) acc[i] = _mm512_loadu_ps(sums + i * LANES);
        for (const Pair *end = pairs + count; pairs < end; pairs++) {
            int both;
            memcpy(&both, pairs->grads, sizeof both);
            __m512bh grads = (__m512bh)_mm512_set1_epi32(both);
#pragma GCC unroll 2
            for (int i = 0; i < SLICE / LANES; i += 2) {
                __m512i first = _mm512_loadu_si512(frames + pairs->frames[0] + i * LANES * 2);
                __m512i other = _mm512_loadu_si512(frames + pairs->frames[1] + i * LANES * 2);
                __asm__("" : "+v"(other)); /* one load, not one for each use */
                acc[i] = _mm512_dpbf16_ps(acc[i], (__m512bh)_mm512_unpacklo_epi16(first, other), grads);
                acc[i + 1] = _mm512_dpbf16_ps(acc[i + 1], (__m512bh)_mm512_unpackhi_epi16(first, other), grads);
            }
        }
#pragma GCC unroll 4
        for (int i = 0; i < SLICE / LANES; i++) _mm512_storeu_ps(sums + i * LANES, acc[i]);
    }
}

/* Fills the gradient of bfloat16 weights from pairs, slice by slice. */
AVX512 void weight_grad_max(Work *work)
{
    float *sums = (float *)thread_scratch(work);
    char *frames = (char *)(sums + work->columns * SLICE);
    for (Py_ssize_t begin; (begin = take(&work->next) * SLICE) < work->inner;) {
        Py_ssize_t left = work->inner - begin;
        memset(sums, 0, work->columns * SLICE * sizeof(float));
        for (const Block *block = work->blocks; block < work->blocks + work->count; block++) {
            Py_ssize_t rows = work->seconds * work->length, seconds = block->windows * work->seconds;
            for (Py_ssize_t row = 0; row < block->windows * rows; row++) {
                const char *from = work->features + ((block->window * rows + row) * work->inner + begin) * 2;
                for (int i = 0; i < SLICE; i += LANES)
                    _mm256_storeu_si256((__m256i *)(frames + (row * SLICE + i) * 2),
                                        _mm256_maskz_loadu_epi16(lanes(left - i), from + i * 2));
            }
            add_pairs(frames, work->pairs + block->offset, (seconds + 1) / 2, block->columns,
                      sums + block->column * SLICE);
        }
        write_slice(work, sums, begin, 1);
    }
}
